//! Arrays are printed as NumPy prints them: `print/goldens.py` wrote what NumPy 2.4 printed.

use backprop_core::{Array, DType};

/// Splits one golden into its array, its precision and what is to be printed.
fn parse(case: &str) -> (Array, Option<usize>, &str) {
    let (head, text) = case.split_once('\n').expect("a head line");
    let (head, values) = head.split_once(" : ").unwrap_or((head.trim_end_matches(" :"), ""));
    let [dtype, sizes, precision] = head.split(' ').collect::<Vec<_>>()[..] else {
        panic!("head of three words: {head}");
    };
    let dtype = DType::from_name(dtype).expect("a type");
    let sizes: Vec<usize> =
        sizes.split('x').filter(|s| *s != "-").map(|s| s.parse().expect("a size")).collect();
    let array = match values.strip_prefix("iota ") {
        Some(scale) => {
            let scale: f64 = scale.parse().expect("a scale");
            let count: usize = sizes.iter().product();
            let wide = Array::vector((0..count).map(|i| i as f64 * scale).collect::<Vec<_>>());
            // NumPy wraps where `as` saturates.
            if dtype.is_int() { wide.cast(DType::I64).cast(dtype) } else { wide.cast(dtype) }
        }
        None => {
            let words = values.split_whitespace();
            if dtype.is_int() {
                let ints: Vec<i64> = words.map(|w| w.parse().expect("an integer")).collect();
                Array::vector(ints).cast(dtype)
            } else {
                let number = |w: &str| match w {
                    "True" => 1.0,
                    "False" => 0.0,
                    _ => w.parse().expect("a float"),
                };
                Array::vector(words.map(number).collect::<Vec<f64>>()).cast(dtype)
            }
        }
    };
    let text = text.strip_suffix("\n.\n").expect("a final dot");
    (array.reshape(&sizes).expect("sizes that fit"), precision.parse().ok(), text)
}

#[test]
fn every_golden_is_printed_as_numpy_does() {
    let goldens = include_str!("print/goldens.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in goldens.split("# ").skip(1) {
        let (array, precision, expect) = parse(case);
        let printed = match precision {
            None => format!("{array}"),
            Some(precision) => format!("{array:.precision$}"),
        };
        count += 1;
        if printed != expect {
            wrong.push(format!(
                "{}\n  numpy:\n{expect}\n  here:\n{printed}",
                case.lines().next().unwrap_or("")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(count > 100, "only {count} goldens");
}

#[test]
fn debug_names_type_and_sizes() {
    let array = Array::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.5]]);
    assert_eq!(format!("{array:?}"), "Array(f32[2, 3]) [[1.  2.  3. ]\n [4.  5.  6.5]]");
    assert_eq!(format!("{:?}", Array::scalar(true)), "Array(bool[]) True");
}
