//! Damaged files: every prefix and every changed byte of a valid file gives a value or one clear line,
//! never a panic, and takes no more memory than the file and a constant.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::path::Path;

use backprop_core::Array;
use backprop_io::{IoError, csv, idx, npy, npz, safetensors};
use common::{Folder, golden};

/// Counts the bytes that the current thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that is ending counts nothing.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call goes to `System` unchanged; counting touches only plain thread-local cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps GlobalAlloc's contract, which is System's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Buffers of the readers, tables of inflate: independent of the file.
const CONSTANT: isize = 1 << 20;

/// Runs a reader and returns what it made and the most bytes that it held at a time.
fn measured<T>(read: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    PEAK.set(before);
    let value = read();
    (value, PEAK.get() - before)
}

fn check_bytes<T>(
    folder: &Folder,
    bytes: &[u8],
    load: impl Fn(&Path) -> Result<T, IoError>,
    what: &str,
) -> bool {
    let path = folder.with("damaged", bytes);
    let (result, peak) = measured(|| load(&path));
    assert!(peak < CONSTANT + 4 * bytes.len() as isize, "{what}: {peak} bytes held");
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(text.contains("damaged: ") && !text.contains('\n'), "{what}: {text}");
        assert!(!matches!(error, IoError::System { .. }), "{what}: {text}");
    }
    result.is_ok()
}

/// Reads every prefix and every change of one byte; `complete`: no strict prefix is valid.
fn check<T>(name: &str, valid: &[u8], complete: bool, load: impl Fn(&Path) -> Result<T, IoError>) {
    let folder = Folder::new(&format!("hostile-{name}"));
    assert!(check_bytes(&folder, valid, &load, name), "{name} is valid to begin with");
    for len in 0..valid.len() {
        let ok = check_bytes(&folder, &valid[..len], &load, &format!("{name}, the first {len} bytes"));
        assert!(!(ok && complete), "{name}: the first {len} bytes pass for the whole");
    }
    let mut bytes = valid.to_vec();
    for at in 0..valid.len() {
        for change in [|b: u8| b ^ 1, |b: u8| b ^ 0x80, |b: u8| !b, |_| 0, |_| b'9'] {
            bytes[at] = change(valid[at]);
            check_bytes(&folder, &bytes, &load, &format!("{name}, byte {at} = {}", bytes[at]));
        }
        bytes[at] = valid[at];
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).expect("the golden")
}

#[test]
fn damaged_npy() {
    for name in ["fortran.npy", "version2.npy", "big_f8.npy", "bool.npy", "rank0.npy"] {
        check(name, &file(name), true, |path| npy::load(path));
    }
}

#[test]
fn damaged_npz() {
    check("deflated.npz", &file("deflated.npz"), true, |path| npz::load(path));
    let folder = Folder::new("hostile-own-npz");
    let path = folder.file("a.npz");
    let (a, b) = (Array::from([[1.0f32, 2.0, 3.0]]), Array::scalar(true));
    npz::save(&path, &[("w", &a), ("b", &b)]).expect("saved");
    check("stored.npz", &std::fs::read(&path).expect("the file"), true, |path| npz::load(path));
}

#[test]
fn damaged_safetensors() {
    check("python.safetensors", &file("python.safetensors"), true, |path| safetensors::load(path));
}

#[test]
fn damaged_idx() {
    check("images.idx", &file("images.idx"), true, |path| idx::load(path));
    check("images.idx.gz", &file("images.idx.gz"), true, |path| idx::load(path));
}

#[test]
fn damaged_csv() {
    let text = b"x, \"y\" ,z\n1,2.5,-3e2\n4,nan,\"6\"\n";
    check("table.csv", text, false, |path| csv::load(path, csv::Header::Detect));
    check("table.csv.gz", &gz(text), true, |path| csv::load(path, csv::Header::Detect));
}

#[test]
fn claims_take_no_memory() {
    let folder = Folder::new("claims");
    let small = |what: &str, bytes: &[u8], load: &dyn Fn(&Path) -> Result<(), IoError>| {
        let ok = check_bytes(&folder, bytes, load, what);
        assert!(!ok, "{what} is an error");
    };
    let header = "{'descr':'<f4','fortran_order':True,'shape':(100000000,1000)}";
    let npy =
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), &[0; 100]]
            .concat();
    small("npy", &npy, &|path| npy::load(path).map(|_| ()));
    // The same without a known end.
    let (result, peak) = measured(|| npy::read(&mut npy.as_slice()));
    assert!(result.is_err() && peak < CONSTANT, "npy from a stream: {peak} bytes held");
    let idx = [0, 0, 8, 2, 0, 255, 255, 255, 0, 0, 255, 255, 1, 2, 3];
    small("idx", &idx, &|path| idx::load(path).map(|_| ()));
    small("idx.gz", &gz(&idx), &|path| idx::load(path).map(|_| ()));
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[100000000000],\"data_offsets\":[0,400000000000]}}";
    let safetensors = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 9]].concat();
    small("safetensors", &safetensors, &|path| safetensors::load(path).map(|_| ()));
}

#[test]
fn a_deflate_bomb_stops_at_the_claim() {
    let folder = Folder::new("bomb");
    // 30 MB of zeros behind an array of three elements.
    let header = "{'descr':'|u1','fortran_order':False,'shape':(3,)}";
    let head =
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    let bomb = [head.as_slice(), &vec![0; 30_000_000]].concat();
    let mut bytes = Vec::new();
    let mut archive = rawzip::ZipArchiveWriter::new(&mut bytes);
    let deflate = rawzip::CompressionMethod::DEFLATE;
    let (mut entry, config) =
        archive.new_file("a.npy").compression_method(deflate).start().expect("an entry");
    let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::default());
    let mut writer = config.wrap(encoder);
    writer.write_all(&bomb).expect("a vector takes everything");
    let (encoder, descriptor) = writer.finish().expect("finished");
    encoder.finish().expect("finished");
    entry.finish(descriptor).expect("finished");
    archive.finish().expect("finished");
    assert!(!check_bytes(&folder, &bytes, |path| npz::load(path), "npz"), "the bomb is an error");
    let idx = [&[0, 0, 8, 1, 0, 0, 0, 3][..], &vec![0; 30_000_000]].concat();
    assert!(!check_bytes(&folder, &gz(&idx), |path| idx::load(path), "idx.gz"), "the bomb is an error");
}

#[test]
fn members_that_share_bytes_are_refused() {
    let folder = Folder::new("overlap");
    let path = folder.file("a.npz");
    let a = Array::vector(vec![1.0f32, 2.0, 3.0]);
    npz::save(&path, &[("v", &a), ("w", &a)]).expect("saved");
    let mut bytes = std::fs::read(&path).expect("the file");
    // The last record of the directory: its local header's offset stands 4 bytes before the name.
    let name = bytes.windows(5).rposition(|window| window == b"w.npy").expect("the record");
    bytes[name - 4..name].fill(0);
    let path = folder.with("b.npz", &bytes);
    let text = common::error_text(npz::load(&path), &path);
    assert!(text.starts_with("b.npz: array \"w\": its bytes overlap those of \"v\""), "{text}");
    // And the same member twice.
    bytes[name] = b'v';
    let path = folder.with("c.npz", &bytes);
    let text = common::error_text(npz::load(&path), &path);
    assert_eq!(text, "c.npz: array \"v\": the name occurs twice");
}

#[test]
fn long_headers_take_memory_in_proportion() {
    let folder = Folder::new("headers");
    let entries =
        (0..20_000).map(|i| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let path = folder.with("a.safetensors", &bytes);
    let (result, peak) = measured(|| safetensors::load(&path));
    assert_eq!(result.map(|(arrays, _)| arrays.len()).map_err(|error| error.to_string()), Ok(20_000));
    assert!(peak < 10 * bytes.len() as isize, "{peak} bytes for {}", bytes.len());
    let text = format!("{{{}", "\"a\":[".repeat(100_000));
    let bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    assert!(!check_bytes(&folder, &bytes, |path| safetensors::load(path), "nested"), "nesting is an error");
}
