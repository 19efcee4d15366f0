//! `.safetensors`: what Python wrote is read, what is written is read back, the rest is refused.

mod common;

use std::collections::BTreeMap;

use backprop_core::{Array, DType};
use backprop_io::safetensors::{load, save};
use common::{Folder, error_text, golden};

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("made by".to_string(), "safetensors".to_string())])
}

fn arrays() -> Vec<(&'static str, Array)> {
    vec![
        ("b", Array::vector(vec![0.0f64, 1.0, 2.0])),
        ("w", Array::from([[0.0f32, 1.0, 2.0], [3.0, 4.0, 5.0]])),
        ("é\n", Array::scalar(7i32)),
        ("mask", Array::vector(vec![true, false])),
    ]
}

#[test]
fn python_files_are_read() {
    let (found, found_metadata) =
        load(golden("python.safetensors")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found_metadata, metadata());
    let expect: Vec<(String, Array)> = arrays().into_iter().map(|(name, a)| (name.to_string(), a)).collect();
    assert_eq!(found, expect);
}

#[test]
fn the_same_bytes_as_pythons_in_any_order() {
    let folder = Folder::new("safetensors");
    let path = folder.file("a.safetensors");
    let arrays = arrays();
    let mut named: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (*name, array)).collect();
    let python = std::fs::read(golden("python.safetensors")).expect("the golden");
    for _ in 0..named.len() {
        named.rotate_left(1);
        save(&path, &named, &metadata()).unwrap_or_else(|error| panic!("{error}"));
        let ours = std::fs::read(&path).expect("the file");
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&python));
    }
    assert_eq!(folder.names(), ["a.safetensors"]);
}

#[test]
fn every_type_is_written_and_read_back() {
    let folder = Folder::new("safetensors-types");
    let path = folder.file("a.safetensors");
    for dtype in DType::ALL {
        for sizes in [&[][..], &[0], &[7], &[2, 3], &[2, 0, 3], &[1, 2, 1, 1, 3, 1, 1, 2]] {
            let count = sizes.iter().product::<usize>();
            let array = Array::vector((0..count).map(|i| i as f64 - 2.0).collect::<Vec<_>>()).cast(dtype);
            let array = array.reshape(sizes).expect("the same count");
            save(&path, &[("x", &array)], &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
            let (found, metadata) = load(&path).unwrap_or_else(|error| panic!("{error}"));
            assert!(metadata.is_empty());
            assert!(found.len() == 1 && found[0].1.same_bits(&array), "{found:?} is not {array:?}");
        }
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let folder = Folder::new("safetensors-names");
    let path = folder.file("a.safetensors");
    let a = Array::scalar(1i32);
    let check = |names: [&str; 2], expect: &str| {
        let result = save(&path, &names.map(|name| (name, &a)), &BTreeMap::new());
        assert_eq!(error_text(result, &path), format!("a.safetensors: array {expect}"));
    };
    check(["w", "w"], "\"w\": the name is given twice; give each array a name of its own");
    check(["w", "__metadata__"], "\"__metadata__\": the name is reserved; give each array a name of its own");
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn malformed_files_are_one_clear_line() {
    let folder = Folder::new("malformed-safetensors");
    let check_bytes = |bytes: &[u8], expect: &str| {
        let path = folder.with("a.safetensors", bytes);
        assert_eq!(error_text(load(&path), &path), format!("a.safetensors: {expect}"));
    };
    let check = |header: &str, data: &[u8], expect: &str| {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
        check_bytes(&bytes, expect);
    };
    check_bytes(
        b"",
        "byte 0: the data ends before the header's length; the file is truncated: copy it again",
    );
    check_bytes(
        b"PK\x03\x04\0\0\0\x10..",
        "byte 0: the header claims 1152921504674171728 bytes, but 2 follow (and 100000000 are the most allowed); \
         this is no safetensors file, or a truncated one",
    );
    check("[]", &[], "byte 8: malformed header: invalid type: sequence, expected a table of arrays by name");
    check("{\"a\":", &[], "byte 12: malformed header: EOF while parsing a value");
    check("{} x", &[], "byte 11: malformed header: trailing characters");
    let entry = |dtype: &str, shape: &str, range: &str| {
        format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":{range}}}")
    };
    let one = |dtype: &str, shape: &str, range: &str| format!("{{\"a\":{}}}", entry(dtype, shape, range));
    check(
        &one("F32", "[2]", "[0,8]"),
        &[0; 7],
        "array \"a\": data_offsets [0, 8] lie beyond the 7 bytes of data: the file is truncated",
    );
    check(&one("F32", "[2]", "[0,8]"), &[0; 9], "1 bytes follow the end of the last array");
    check(
        &one("F32", "[2]", "[0,12]"),
        &[0; 12],
        "array \"a\": f32[2] takes 8 bytes, but data_offsets are [0, 12]",
    );
    check(
        &one("F32", "[2]", "[8,0]"),
        &[0; 8],
        "array \"a\": f32[2] takes 8 bytes, but data_offsets are [8, 0]",
    );
    check(&one("F32", "[1]", "[4,8]"), &[0; 8], "array \"a\": 4 bytes before it belong to no array");
    check(
        &one("F32", "[9000000000,9000000000]", "[0,4000000000000000000]"),
        &[0; 8],
        "array \"a\": an array f32[9000000000, 9000000000] does not fit into memory",
    );
    check(
        &one("F32", "[1000000000000]", "[0,4000000000000]"),
        &[0; 8],
        "array \"a\": data_offsets [0, 4000000000000] lie beyond the 8 bytes of data: the file is truncated",
    );
    check(
        &one("F32", "[-1]", "[0,8]"),
        &[0; 8],
        "byte 38: malformed header: invalid value: integer `-1`, expected usize",
    );
    check(
        &one("BOOL", "[2]", "[0,2]"),
        &[1, 2],
        "array \"a\": the byte 2 is neither 0 (false) nor 1 (true) (byte 64 of the file)",
    );
    let both = |first: &str, second: &str| format!("{{\"a\":{first},\"b\":{second}}}");
    let overlap = both(&entry("U8", "[4]", "[0,4]"), &entry("U8", "[4]", "[2,6]"));
    check(&overlap, &[0; 6], "array \"b\": data_offsets [2, 6] overlap those of the array before");
    let e = entry("U8", "[]", "[0,1]");
    check(&format!("{{\"a\":{e},\"a\":{e}}}"), &[0; 1], "byte 62: malformed header: \"a\" occurs twice");
    check(
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}",
        &[],
        "byte 41: malformed header: \"dtype\" occurs twice",
    );
    check("{\"a\":{\"dtype\":\"F32\"}}", &[], "byte 27: malformed header: missing field `shape`");
    check(
        "{\"__metadata__\":{\"a\":1}}",
        &[],
        "byte 29: malformed header: invalid type: integer `1`, expected a string",
    );
    let path = golden("no_f16.safetensors");
    assert!(error_text(load(&path), &path).ends_with(
        "malformed header: array \"h\" has element type F16, which is not supported; convert it to F32"
    ));
}
