//! `.npy` and `.npz`: what NumPy wrote is read, what is written is read back, the rest is refused.

mod common;

use backprop_core::{Array, DType};
use backprop_io::{npy, npz};
use common::{Folder, error_text, golden};

fn ramp(dtype: DType) -> Array {
    Array::from([[0i64, 1, 2], [3, 4, 5]]).cast(dtype)
}

#[test]
fn numpy_files_are_read() {
    let check = |name: &str, expect: Array| {
        let found = npy::load(golden(name)).unwrap_or_else(|error| panic!("{error}"));
        assert!(found.same_bits(&expect), "{name}: {found:?} is not {expect:?}");
    };
    let signed = Array::from([[-1.5f64, 0.0, 1.5], [3.0, 4.5, 6.0]]);
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::Bool] {
        check(&format!("{dtype}.npy"), signed.cast(dtype));
    }
    check("u32.npy", ramp(DType::U32));
    check("u8.npy", ramp(DType::U8));
    check("big_f4.npy", ramp(DType::F32));
    check("big_f8.npy", ramp(DType::F64));
    check("big_i4.npy", ramp(DType::I32));
    check("big_i8.npy", ramp(DType::I64));
    check("big_u4.npy", ramp(DType::U32));
    check("fortran.npy", Array::new([2, 3, 5], (0..30).collect::<Vec<i32>>()).expect("30 elements"));
    check("version2.npy", ramp(DType::F32));
    check("version3.npy", ramp(DType::F32));
    check("rank0.npy", Array::scalar(2.5f64));
    check("empty.npy", Array::new([2, 0, 3], Vec::<f32>::new()).expect("no elements"));
}

#[test]
fn other_element_types_are_refused_by_name() {
    let check = |name: &str, expect: &str| {
        let path = golden(name);
        assert_eq!(error_text(npy::load(&path), &path), format!("{name}: {expect}"));
    };
    check("no_f2.npy", "byte 20: element type '<f2' is not supported; convert it with a.astype('f4')");
    check("no_i1.npy", "byte 20: element type '|i1' is not supported; convert it with a.astype('i4')");
    check("no_i2.npy", "byte 20: element type '<i2' is not supported; convert it with a.astype('i4')");
    check("no_u2.npy", "byte 20: element type '<u2' is not supported; convert it with a.astype('i4')");
    check("no_u8.npy", "byte 20: element type '<u8' is not supported; convert it with a.astype('i8')");
    check(
        "no_c8.npy",
        "byte 20: element type '<c8' is not supported; f4, f8, i4, i8, u4, u1 and b1 are read",
    );
    check("no_fields.npy", "byte 20: an array with named fields; save each field as an array");
    check(
        "no_object.npy",
        "byte 20: element type '|O' is not supported; Python objects are never loaded: save plain numbers",
    );
    check(
        "no_text.npy",
        "byte 20: element type '<U2' is not supported; f4, f8, i4, i8, u4, u1 and b1 are read",
    );
}

/// A version 1.0 file with this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &len, header.as_bytes(), data].concat()
}

#[test]
fn malformed_npy_is_one_clear_line() {
    let folder = Folder::new("malformed-npy");
    let check = |bytes: &[u8], expect: &str| {
        let path = folder.with("a.npy", bytes);
        assert_eq!(error_text(npy::load(&path), &path), format!("a.npy: {expect}"));
    };
    let truncated = "; the file is truncated: copy it again";
    check(b"", &format!("byte 0: the data ends before the magic bytes{truncated}"));
    check(
        b"PK\x03\x04....",
        "byte 0: this is no .npy file: it does not start with \\x93NUMPY; this is a zip archive: read it as .npz",
    );
    check(b"\x93NUMPY\x04\x00", "byte 6: version 4.0 of the .npy format; versions 1.0, 2.0 and 3.0 are read");
    check(
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        "byte 8: the header claims 4294967295 bytes; at most 65536 are read",
    );
    check(
        b"\x93NUMPY\x01\x00\x50\x00{",
        &format!("byte 10: the data ends before the header ends{truncated}"),
    );
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n";
    check(&file(good, &[0; 8]), "byte 68: the header claims f32[3], 12 bytes, but only 8 follow");
    check(&file(good, &[0; 13]), "byte 80: bytes follow the end of the data");
    let shape =
        |shape: &str| file(&format!("{{'descr':'<f4','fortran_order':False,'shape':{shape}}}"), &[0; 100]);
    check(
        &shape("(1000000000, 1000000000, 1000000)"),
        "an array f32[1000000000, 1000000000, 1000000] does not fit into memory",
    );
    check(
        &shape("(1000000, 1000000)"),
        "byte 74: the header claims f32[1000000, 1000000], 4000000000000 bytes, but only 100 follow",
    );
    check(
        &shape("(1000000000000,1000000000000,0)"),
        "an array f32[1000000000000, 1000000000000, 0] does not fit into memory",
    );
    check(
        &shape("(99999999999999999999,)"),
        "byte 56: malformed header: expected a size: a whole number that fits into memory",
    );
    check(
        &shape("(-1,)"),
        "byte 56: malformed header: expected a size: a whole number that fits into memory",
    );
    check(&shape("(1,1,1,1,1,1,1,1,1)"), "byte 72: an array of more than 8 axes; reshape it before saving");
    check(&shape("[1]"), "byte 55: malformed header: expected '('");
    let header = |text: &str| file(text, &[0; 4]);
    check(
        &header("{'descr':'<f4','shape':()}"),
        "byte 36: malformed header: the key 'fortran_order' is missing",
    );
    check(
        &header("{'descr':'<f4','descr':'<f4'}"),
        "byte 25: malformed header: the key 'descr' occurs twice",
    );
    check(&header("{'code':__import__('os')}"), "byte 11: malformed header: unknown key 'code'");
    check(
        &header("{'descr':'f4'}"),
        "byte 19: malformed header: element type 'f4' has no byte order (<, > or |)",
    );
    check(&header("{'descr':'<f4"), "byte 19: malformed header: a quote is not closed");
    check(&header("{'descr'"), "byte 18: malformed header: expected ':'");
    check(&header("{'fortran_order':1}"), "byte 27: malformed header: expected True or False");
    let truth = "{'descr':'|b1','fortran_order':False,'shape':(3,)}";
    check(&file(truth, &[0, 1, 7]), "byte 62: the byte 7 is neither 0 (false) nor 1 (true)");
    check_missing(&folder);
}

fn check_missing(folder: &Folder) {
    let path = folder.file("missing.npy");
    assert!(error_text(npy::load(&path), &path).starts_with("missing.npy: cannot open: No such file"));
    let path = folder.file(".");
    assert!(error_text(npy::load(&path), &path).contains("this is a directory"));
}

#[test]
fn every_type_and_rank_is_written_and_read_back() {
    for dtype in DType::ALL {
        for sizes in [&[][..], &[0], &[7], &[2, 3], &[2, 0, 3], &[3, 1, 2, 5], &[1, 2, 1, 1, 3, 1, 1, 2]] {
            let count = sizes.iter().product::<usize>();
            let array = Array::vector((0..count).map(|i| i as f64 - 2.0).collect::<Vec<_>>()).cast(dtype);
            let array = array.reshape(sizes).expect("the same count");
            let mut bytes = Vec::new();
            npy::write(&mut bytes, &array).expect("a vector takes everything");
            let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert_eq!(header % 64, 0, "the data of {array:?} starts at {header}");
            bytes.push(42);
            let mut rest = bytes.as_slice();
            let found = npy::read(&mut rest).unwrap_or_else(|error| panic!("{error}"));
            assert!(found.same_bits(&array), "{found:?} is not {array:?}");
            assert_eq!(rest, [42], "the reader stands behind the array");
        }
    }
}

#[test]
fn large_arrays_pass_through_several_chunks() {
    let folder = Folder::new("large");
    let array = Array::vector((0..100_003).map(|i| i as f64).collect::<Vec<_>>());
    let path = folder.file("a.npy");
    npy::save(&path, &array).expect("saved");
    assert!(npy::load(&path).expect("loaded").same_bits(&array));
}

#[test]
fn numpy_archives_are_read_in_order() {
    for name in ["stored.npz", "deflated.npz"] {
        let found = npz::load(golden(name)).unwrap_or_else(|error| panic!("{error}"));
        let expect = [
            ("w", ramp(DType::F32)),
            ("layers/0.bias", Array::vector((0..500).map(|i| i % 7).collect::<Vec<i64>>())),
            ("é", Array::scalar(true)),
        ];
        assert_eq!(found.len(), expect.len(), "{name}");
        for ((name, array), (expect_name, expect)) in found.iter().zip(&expect) {
            assert_eq!(name, expect_name);
            assert!(array.same_bits(expect), "{name}: {array:?}");
        }
    }
}

#[test]
fn archives_are_written_and_read_back_under_any_name() {
    let folder = Folder::new("npz");
    let (a, b) = (ramp(DType::F64), Array::scalar(3u8));
    let names = ["w", "a/b.c", "../up", "/root", "x//y", "sp ace", "é", ""];
    let arrays: Vec<(&str, &Array)> =
        names.iter().enumerate().map(|(i, name)| (*name, if i % 2 == 0 { &a } else { &b })).collect();
    let (first, second) = (folder.file("a.npz"), folder.file("b.npz"));
    npz::save(&first, &arrays).unwrap_or_else(|error| panic!("{error}"));
    npz::save(&second, &arrays).unwrap_or_else(|error| panic!("{error}"));
    let bytes = |path| std::fs::read(path).expect("the file");
    assert_eq!(bytes(&first), bytes(&second), "equal arrays give equal bytes");
    let found = npz::load(&first).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    assert!(found.iter().zip(&arrays).all(|((_, found), (_, array))| found.same_bits(array)));
    assert_eq!(folder.names(), ["a.npz", "b.npz"], "nothing else is written");

    let none: [(&str, &Array); 0] = [];
    npz::save(&first, &none).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(npz::load(&first).expect("an empty archive"), []);
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_written() {
    let folder = Folder::new("npz-names");
    let path = folder.file("a.npz");
    let a = Array::scalar(1i32);
    let twice = npz::save(&path, &[("w", &a), ("w", &a)]);
    assert_eq!(
        error_text(twice, &path),
        "a.npz: array \"w\": the name is given twice; give each array a name of its own"
    );
    let mixed = npz::save(&path, &[("../é", &a)]);
    assert!(error_text(mixed, &path).starts_with("a.npz: array \"../é\": the name has both characters"));
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn malformed_archives_are_one_clear_line() {
    let folder = Folder::new("malformed-npz");
    let good = std::fs::read(golden("deflated.npz")).expect("the golden");
    let stored = std::fs::read(golden("stored.npz")).expect("the golden");
    let check = |bytes: &[u8], expect: &str| {
        let path = folder.with("a.npz", bytes);
        let text = error_text(npz::load(&path), &path);
        assert_eq!(text, format!("a.npz: {expect}"));
    };
    let no_archive = "this is no whole zip archive: it has no directory at its end";
    check(b"", no_archive);
    check(b"\x93NUMPY", no_archive);
    check(&good[..good.len() - 1], "the zip archive is damaged: it points beyond its end");
    check(&good[..good.len() - 22], no_archive);
    let trailing = [good.as_slice(), b"x"].concat();
    check(&trailing, &format!("byte {}: bytes follow the end of the zip archive", good.len()));

    let change = |bytes: &[u8], from: &[u8], to: &[u8], occurrence: usize| {
        let places = bytes.windows(from.len()).enumerate().filter(|(_, window)| window == &from);
        let at = places.map(|(at, _)| at).nth(occurrence).expect("the bytes to change");
        let mut changed = bytes.to_vec();
        changed[at..at + to.len()].copy_from_slice(to);
        changed
    };
    // Occurrence 0 is the member's own header, 1 its record in the directory.
    let other = change(&good, b"w.npy", b"w.txt", 1);
    check(&other, "member \"w.txt\" is no array; the name of a member is UTF-8 and ends in .npy");
    let method = change(&good, &[8, 0], &[14, 0], 3);
    assert!(
        error_text(npz::load(folder.with("b.npz", &method)), &folder.file("b.npz")).contains("compressed by")
    );
    let flipped = change(&stored, &1.0f32.to_le_bytes(), &2.0f32.to_le_bytes(), 0);
    let path = folder.with("c.npz", &flipped);
    let text = error_text(npz::load(&path), &path);
    assert!(text.starts_with("c.npz: array \"w\": the data is damaged: "), "{text}");
}
