//! Files that are whole or absent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{IoError, Place};

/// Writes a file such that, whatever happens, `path` holds either all of it or what it held before.
///
/// The bytes go to a temporary file beside `path`, which is flushed to the disk and then renamed. On an
/// error the temporary file is removed; only a crash of the machine or a killed process leaves one
/// behind (`.NAME.PID-N.tmp`). A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// `path` names a directory or a device, the operating system refuses, or `write` returns an error.
///
/// ```
/// use std::io::Write;
/// let path = std::env::temp_dir().join(format!("whole-{}.txt", std::process::id()));
/// backprop_io::atomic::write_atomically(&path, |w| {
///     w.write_all(b"all of it").map_err(|error| backprop_io::IoError::System {
///         file: "whole.txt".into(), doing: "write", error,
///     })
/// })?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), backprop_io::IoError>(())
/// ```
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), IoError>,
) -> Result<(), IoError> {
    let path = path.as_ref();
    replace(path, write).map_err(|error| error.in_file(path))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), IoError>) -> Result<(), IoError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(IoError::refused(Place::File, "this names no file", "end the path in a file name"));
    };
    if fs::symlink_metadata(path).is_ok_and(|old| !old.is_file() && !old.is_symlink()) {
        let what = "something that is not a regular file stands there";
        return Err(IoError::refused(Place::File, what, "choose another path"));
    }
    let (file, temporary) = create_beside(directory, name.to_os_string())?;
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(|error| IoError::system("write", error.into_error()))?;
    file.sync_all().map_err(|error| IoError::system("write to the disk", error))?;
    // Some systems do not rename an open file.
    drop(file);
    fs::rename(&temporary.0, path).map_err(|error| IoError::system("put in place", error))?;
    // `temporary` is dropped after this and finds nothing to remove: no other file gets its name.
    // The name is on the disk once its directory is; not every file system can do that, and the file is
    // whole either way.
    #[cfg(unix)]
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Removes its file when dropped, also in a panic.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn create_beside(directory: &Path, name: OsString) -> Result<(File, Temporary), IoError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut temporary = OsString::from(".");
        temporary.push(&name);
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}-{n}.tmp", std::process::id()));
        let temporary = directory.join(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, Temporary(temporary))),
            // Left by an earlier process of the same number: the next name is free.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(IoError::system("create a file beside", error)),
        }
    }
}
