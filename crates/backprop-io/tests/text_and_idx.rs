//! CSV and IDX files, and files that are whole or absent.

mod common;

use std::io::Write;

use backprop_core::Array;
use backprop_io::atomic::write_atomically;
use backprop_io::{IoError, csv, idx};
use common::{Folder, error_text, golden};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

#[test]
fn idx_plain_and_gzip_are_the_same_array() {
    let expect = Array::new([2, 3, 5], (0..30).collect::<Vec<u8>>()).expect("30 elements");
    for name in ["images.idx", "images.idx.gz"] {
        assert_eq!(idx::load(golden(name)).unwrap_or_else(|error| panic!("{error}")), expect);
    }
}

#[test]
fn malformed_idx_is_one_clear_line() {
    let folder = Folder::new("malformed-idx");
    let check = |bytes: &[u8], expect: &str| {
        let path = folder.with("a.idx", bytes);
        assert_eq!(error_text(idx::load(&path), &path), format!("a.idx: {expect}"));
    };
    let truncated = "; the file is truncated: copy it again";
    check(b"", &format!("byte 0: the data ends before the magic number{truncated}"));
    check(b"\x89PNG....", "byte 0: this is no IDX file: it does not start with two zero bytes");
    check(&[0, 0, 13, 1], "byte 2: element type 0x0d is not supported; unsigned bytes (0x08) are read");
    check(&[0, 0, 7, 1], "byte 2: this is no IDX file: 0x07 is no element type");
    check(&[0, 0, 8, 9], "byte 3: an array of 9 axes; at most 8 are read");
    check(&[0, 0, 8, 1, 0, 0], &format!("byte 6: the data ends before the size of axis 0{truncated}"));
    check(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2], "byte 8: the header claims u8[3], 3 bytes, but only 2 follow");
    check(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3, 4], "byte 11: bytes follow the end of the data");
    check(&[0, 0, 8, 0], "byte 4: the header claims u8[], 1 bytes, but only 0 follow");
    let huge = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    check(&huge, "an array u8[4294967295, 4294967295, 4294967295] does not fit into memory");
    let huge = [0, 0, 8, 1, 255, 255, 255, 255, 1, 2];
    check(&gz(&huge), &format!("byte 10: the data ends before all 4294967295 elements are read{truncated}"));
    let whole = gz(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3]);
    check(
        &whole[..whole.len() - 1],
        &format!("byte 11: the data ends before the compressed stream is complete{truncated}"),
    );
    let mut damaged = whole.clone();
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    check(&damaged, "byte 11: the data is damaged: corrupt gzip stream does not have a matching checksum");
    check(&gz(&[0, 0, 8, 1, 0, 0, 0, 1, 1, 2]), "byte 9: bytes follow the end of the data");
}

#[test]
fn numbers_with_and_without_header_are_read() {
    let check =
        |text: &str, header: csv::Header, names: Option<&[&str]>, sizes: [usize; 2], values: &[f64]| {
            for bytes in [text.as_bytes().to_vec(), gz(text.as_bytes())] {
                let table = csv::parse(&bytes, header).unwrap_or_else(|error| panic!("{text:?}: {error}"));
                assert_eq!(
                    table.header.as_deref(),
                    names.map(|n| n.iter().map(|n| n.to_string()).collect::<Vec<_>>()).as_deref()
                );
                assert_eq!(table.values, Array::new(sizes, values.to_vec()).expect("the sizes"), "{text:?}");
            }
        };
    use csv::Header::{Absent, Detect, Present};
    check("1,2,3\n4,5,6\n", Absent, None, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    check("1,2,3\n4,5,6", Detect, None, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    check("150,4,setosa\n4,5,6\n", Detect, Some(&["150", "4", "setosa"]), [1, 3], &[4.0, 5.0, 6.0]);
    check("1,2\n3,4\n", Present, Some(&["1", "2"]), [1, 2], &[3.0, 4.0]);
    check(
        "\u{feff}a, \"b, c\" \r\n\r\n -1.5e3 ,\"2\"\r\n",
        Detect,
        Some(&["a", "b, c"]),
        [1, 2],
        &[-1500.0, 2.0],
    );
    check("1\ninf\n-inf\n", Absent, None, [3, 1], &[1.0, f64::INFINITY, f64::NEG_INFINITY]);
    check("a,b\n", Detect, Some(&["a", "b"]), [0, 2], &[]);
    let table = csv::parse(b"1,2\n3,4\n", Absent).expect("a table");
    assert_eq!(table.column(1), Some(vec![2.0, 4.0]));
    assert_eq!(table.column(2), None);
}

#[test]
fn malformed_csv_names_line_and_column() {
    let folder = Folder::new("malformed-csv");
    let check = |text: &[u8], expect: &str| {
        let path = folder.with("a.csv", text);
        let result = csv::load(&path, csv::Header::Absent);
        assert_eq!(error_text(result, &path), format!("a.csv: {expect}"));
    };
    check(b"", "the file has no rows");
    check(b"\n \n", "the file has no rows");
    check(b"1,2\n3,x\n", "line 2, column 2: \"x\" is no number");
    check(b"1,2\n\n3,\n", "line 3, column 2: the field is empty");
    check(b"1,2\n3\n", "line 2: 1 fields, but the first line has 2");
    check(b"1,2\n3,4,5\n", "line 2: 3 fields, but the first line has 2");
    check(b"1,\"2\n", "line 1, column 2: a quote is not closed");
    check(b"\"1\"2,3\n", "line 1, column 1: text follows a closing quote");
    check(b"1\n\xff\n", "line 2: the text is not UTF-8");
    check(b"1\n2\x1b[31m\n", "line 2: a control character: this is no text file");
    let whole = gz(b"1,2\n");
    check(
        &whole[..whole.len() - 4],
        "line 2: the data ends before the compressed stream is complete; the file is truncated: copy it again",
    );
}

#[test]
fn a_file_is_whole_or_absent() {
    let folder = Folder::new("atomic");
    let path = folder.file("a.txt");
    let broken =
        || IoError::System { file: "a.txt".into(), doing: "think", error: std::io::Error::other("tired") };
    let write = |text: &'static str, fails: bool| {
        write_atomically(&path, |writer| {
            writer.write_all(text.as_bytes()).map_err(|_| broken())?;
            if fails { Err(broken()) } else { Ok(()) }
        })
    };
    assert_eq!(error_text(write("half", true), &path), "a.txt: cannot think: tired");
    assert_eq!(folder.names(), [""; 0]);
    write("first", false).expect("written");
    assert!(write("second", true).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "first");
    write("third", false).expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "third");
    let panicked = std::panic::catch_unwind(|| {
        write_atomically(&path, |writer| {
            let _ = writer.write_all(b"fourth");
            panic!("in the middle")
        })
    });
    assert!(panicked.is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "third");
    assert_eq!(folder.names(), ["a.txt"]);
}

#[test]
fn places_that_cannot_hold_a_file_are_refused() {
    let folder = Folder::new("atomic-places");
    let write = |name: &str| {
        let path = folder.file(name);
        error_text(write_atomically(&path, |_| Ok(())), &path)
    };
    std::fs::create_dir(folder.file("folder")).expect("a folder");
    assert_eq!(
        write("folder"),
        "folder: something that is not a regular file stands there; choose another path"
    );
    assert!(write("missing/a.txt").starts_with("a.txt: cannot create a file beside: No such file"));
    assert_eq!(folder.names(), ["folder"]);
}
