//! The golden values, as they are committed; see `goldens/README.md` for the format.

use backprop_core::{Array, DType, Element, with_dtype};
use serde_json::Value;

/// A case of `ops.json`, `reductions.json` or `dtypes.json`.
pub struct Case {
    /// The op's name there.
    pub op: String,
    /// In `dtypes.json`: the element type of the operands that share one.
    pub dtype: Option<DType>,
    /// Its parameters.
    pub params: Value,
    /// What is special about the case.
    pub note: String,
    /// Operands.
    pub inputs: Vec<Array>,
    /// Results.
    pub outputs: Vec<Array>,
    /// A cotangent for each output that has one; `None` where only values are compared.
    pub d: Option<Vec<Option<Array>>>,
    /// The gradient of Σ⟨d, output⟩ by each input that has one.
    pub dx: Option<Vec<Option<Array>>>,
    /// A direction for each input that has a gradient.
    pub v: Option<Vec<Option<Array>>>,
    /// The gradient of Σ⟨dx, v⟩.
    pub hvp: Option<Vec<Option<Array>>>,
}

/// An op of `pointwise.json`: rows of numbers.
pub struct Pointwise {
    /// The op's name.
    pub name: String,
    /// 1 or 2.
    pub arity: usize,
    /// Operands, value, slopes, curvatures.
    pub points: Vec<Vec<f64>>,
    /// Operands and value, not all finite.
    pub special: Vec<Vec<f64>>,
    /// As `points`, at equal operands.
    pub ties: Vec<Vec<f64>>,
    /// x, n, xⁿ and its first two derivatives by x.
    pub pow_const: Vec<Vec<f64>>,
}

/// A case of `random.json`: counter, key, the four words.
pub type Words = ([u32; 4], [u32; 2], [u32; 4]);

/// What the random ops draw under a key, from element 0 on.
pub struct Draws {
    /// The key operand.
    pub key: [u32; 4],
    /// Of `uniform` in f32.
    pub uniform_f32: Vec<f64>,
    /// Of `uniform` in f64.
    pub uniform_f64: Vec<f64>,
    /// Of `normal` in f64.
    pub normal: Vec<f64>,
}

const DAMAGED: &str = "the committed golden values are as their README says";

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect(DAMAGED)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |list| list)
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some("nan") => f64::NAN,
        _ => value.as_f64().expect(DAMAGED),
    }
}

/// The list of whole numbers at `key` of some parameters.
pub fn sizes(params: &Value, key: &str) -> Vec<usize> {
    list(&params[key]).iter().map(|size| size.as_u64().expect(DAMAGED) as usize).collect()
}

pub(crate) fn array(value: &Value) -> Array {
    let dtype = DType::from_name(value["dtype"].as_str().expect(DAMAGED)).expect(DAMAGED);
    let element = |value: &Value| (value.as_bool().map(i64::from)).or(value.as_i64());
    with_dtype!(dtype, |T| {
        let values: Vec<T> = (list(&value["data"]).iter())
            .map(|value| match (dtype.is_float(), element(value)) {
                (false, Some(whole)) => T::from_i64_wrapping(whole),
                _ => T::from_f64(number(value)),
            })
            .collect();
        Array::new(sizes(value, "shape"), values).expect(DAMAGED)
    })
}

fn optional(value: &Value) -> Option<Vec<Option<Array>>> {
    let one = |value: &Value| if value.is_null() { None } else { Some(array(value)) };
    value.as_array().map(|list| list.iter().map(one).collect())
}

/// The cases of `ops.json` and `reductions.json`.
pub fn cases() -> Vec<Case> {
    let both = [include_str!("../goldens/ops.json"), include_str!("../goldens/reductions.json")];
    both.into_iter().flat_map(cases_of).collect()
}

/// The cases of `dtypes.json`.
pub fn typed_cases() -> Vec<Case> {
    cases_of(include_str!("../goldens/dtypes.json"))
}

fn cases_of(text: &str) -> Vec<Case> {
    let case = |case: &Value| Case {
        op: case["op"].as_str().expect(DAMAGED).to_string(),
        dtype: case["dtype"].as_str().and_then(DType::from_name),
        params: case["params"].clone(),
        note: case["note"].as_str().unwrap_or_default().to_string(),
        inputs: list(&case["inputs"]).iter().map(array).collect(),
        outputs: list(&case["outputs"]).iter().map(array).collect(),
        d: optional(&case["d"]),
        dx: optional(&case["dx"]),
        v: optional(&case["v"]),
        hvp: optional(&case["hvp"]),
    };
    list(&parse(text)["cases"]).iter().map(case).collect()
}

/// The ops of `pointwise.json`.
pub fn pointwise() -> Vec<Pointwise> {
    let root = parse(include_str!("../goldens/pointwise.json"));
    let rows = |op: &Value, key: &str| -> Vec<Vec<f64>> {
        list(&op[key]).iter().map(|row| list(row).iter().map(number).collect()).collect()
    };
    let ops = root["ops"].as_object().expect(DAMAGED).iter();
    ops.map(|(name, op)| Pointwise {
        name: name.clone(),
        arity: op["arity"].as_u64().expect(DAMAGED) as usize,
        points: rows(op, "points"),
        special: rows(op, "special"),
        ties: rows(op, "ties"),
        pow_const: rows(op, "pow_const"),
    })
    .collect()
}

fn u32s<const N: usize>(value: &Value) -> [u32; N] {
    std::array::from_fn(|at| value[at].as_u64().expect(DAMAGED) as u32)
}

/// The known answers of `random.json`.
pub fn words() -> Vec<Words> {
    let root = parse(include_str!("../goldens/random.json"));
    list(&root["cases"])
        .iter()
        .map(|case| (u32s(&case["counter"]), u32s(&case["key"]), u32s(&case["out"])))
        .collect()
}

/// The draws of `random.json`.
pub fn draws() -> Vec<Draws> {
    let root = parse(include_str!("../goldens/random.json"));
    let numbers = |value: &Value| list(value).iter().map(number).collect();
    let draw = |value: &Value| Draws {
        key: u32s(&value["key"]),
        uniform_f32: numbers(&value["uniform_f32"]),
        uniform_f64: numbers(&value["uniform_f64"]),
        normal: numbers(&value["normal"]),
    };
    list(&root["draws"]).iter().map(draw).collect()
}
