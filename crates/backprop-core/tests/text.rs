//! The text form: what is printed reads back as the same graph, what is wrong is said with its
//! place, and no text makes the parser panic.

use backprop_core::ops::{Arrays, Attribute, Attributes, Axes, Custom, Family, Op, Rule, Sum, Types};
use backprop_core::text::{Document, Given, ParseError, Printed, Registry, parse, print};
use backprop_core::verify::verify;
use backprop_core::{
    Array, DType, Dim, Graph, Ill, Shape, Tensor, Type, concat, cond, emit, scan_indexed, scan_reverse,
};

fn read(text: &str) -> Result<Document, ParseError> {
    parse(text, "test.graph", &|_| None, &Registry::new())
}

fn read_printed(printed: &Printed) -> Result<Document, ParseError> {
    let constants =
        |name: &str| printed.constants.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
    parse(&printed.text, "printed.graph", &constants, &Registry::new())
}

/// Prints, parses and prints; both texts and both records are the same.
#[track_caller]
fn round_trip(document: &Document) -> String {
    assert_eq!(verify(&document.records), Ok(()));
    let first = document.print();
    let back = read_printed(&first).unwrap_or_else(|error| panic!("{error}\n{}", first.text));
    assert_eq!(verify(&back.records), Ok(()));
    let second = back.print();
    assert_eq!(first.text, second.text);
    assert_eq!(first.constants.len(), second.constants.len());
    for ((name, array), (other, back)) in first.constants.iter().zip(&second.constants) {
        assert!(name == other && array.same_bits(back), "{name} {other}");
    }
    assert_eq!(document.outputs, back.outputs);
    for (node, other) in document.records.nodes().iter().zip(back.records.nodes()) {
        assert_eq!((&node.op, &node.inputs, node.part), (&other.op, &other.inputs, other.part));
    }
    first.text
}

fn document(graph: &Graph, outputs: &[(&str, Tensor)]) -> Document {
    let outputs = outputs.iter().map(|(name, value)| (name.to_string(), value.id())).collect();
    Document { records: (*graph.records()).clone(), outputs }
}

/// Reads what a person wrote; prints it as expected.
#[track_caller]
fn check(text: &str, expect: &str) {
    let document = read(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(round_trip(&document), expect);
}

#[test]
fn hand_written_text_is_completed() {
    check(
        "# a comment\n\ngraph {   # and another\n  x = input : f32[B, 784]\n  w = input : f32 [ 10, 784 ]\n\
         y = matmul(x, %1)\n  %1 = t(w)\n}\n"
            .replace("y = matmul(x, %1)\n  %1 = t(w)", "%1 = t(w)\n y = matmul(x, %1)\n return y")
            .as_str(),
        "graph {\n  x = input : f32[B, 784]\n  w = input : f32[10, 784]\n  \
         %2 = transpose(w) {perm: [1, 0]} : f32[784, 10]\n  \
         y = contract(x, %2) {lhs_contract: [1], rhs_contract: [0]} : f32[B, 10]\n  return y\n}\n",
    );
    check(
        "graph {\n x = input : f64[2, 3]\n b = input : f64[3]\n y = add(x, b)\n s = sum(y) {axes: [-1]}\n \
         m = max(s)\n return total: m, s\n}",
        "graph {\n  x = input : f64[2, 3]\n  b = input : f64[3]\n  \
         %2 = broadcast(b) {shape: [2, 3]} : f64[2, 3]\n  y = add(x, %2) : f64[2, 3]\n  \
         s = sum(y) {axes: [1]} : f64[2]\n  m = max(s) {axes: [0]} : f64[]\n  return total: m, s\n}\n",
    );
    check(
        "graph {\n k = constant [[1, 2.5],\n   # a row\n   [3, -0.0]] : f32[2, 2]\n i = constant [1, 2]\n \
         t = constant true\n e = constant [] : u8[0, 3]\n n = constant nan(0x7fc00001) : f32\n}",
        "graph {\n  k = constant [[1.0, 2.5], [3.0, -0.0]] : f32[2, 2]\n  i = constant [1, 2] : i64[2]\n  \
         t = constant true : bool[]\n  e = constant [] : u8[0, 3]\n  n = constant nan(0x7fc00001) : f32[]\n}\n",
    );
    check(
        "graph {\n assume B == N\n x = input : f32[B]\n y = input : f32[N]\n z = add(x, y) : f32[B]\n\
         gradient:\n d = full {value: 1} : f32[N]\nno_grad:\n c = neg(d)\nforward:\n \"return\" = relu(z)\n}",
        "graph {\n  assume B == N\n  x = input : f32[B]\n  y = input : f32[N]\n  z = add(x, y) : f32[N]\n\
         gradient:\n  d = full {value: 1.0} : f32[N]\nno_grad:\n  c = neg(d) : f32[N]\nforward:\n  %5 = full {value: 0.0} : f32[N]\n  \
         %6 = le(z, %5) : bool[N]\n  %7 = full {value: 0.0} : f32[N]\n  \
         \"return\" = select(%6, %7, z) : f32[N]\n}\n",
    );
}

#[test]
fn bodies_are_blocks() {
    let text = "graph {\n  c = input : bool[]\n  x = input : f64[2, 3]\n  y = cond(c, x) {\n    \
                then: body(; a) {\n      a = input : f64[2, 3]\n      b = tanh(a) : f64[2, 3]\n      \
                return b\n    },\n    otherwise: body(; %0) {\n      %0 = input : f64[2, 3]\n      \
                return %0\n    }\n  } : f64[2, 3]\n  return y\n}\n";
    check(text, text);
    check(
        "graph {\n xs = input : f32[T, 3]\n h0 = input : f32[3]\n h, hs = scan(h0, xs) {n_carry: 1, n_xs: 1, \
         length: T, body: body(k, h, x) { # the loop\n k = input : i64\n h = input : f32[3]\n x = input : f32[3]\n \
         z = add(h, x)\n n = tanh(z)\n return n, n\n }}\n return h, hs\n}",
        "graph {\n  xs = input : f32[T, 3]\n  h0 = input : f32[3]\n  h, hs = scan(h0, xs) {\n    n_carry: 1,\n    \
         n_xs: 1,\n    length: T,\n    reverse: 0,\n    body: body(k, h, x) {\n      k = input : i64[]\n      \
         h = input : f32[3]\n      x = input : f32[3]\n      z = add(h, x) : f32[3]\n      \
         n = tanh(z) : f32[3]\n      return n, n\n    }\n  } : f32[3], f32[T, 3]\n  return h, hs\n}\n",
    );
}

#[test]
fn errors_in_bodies_are_told_once() {
    let body = |then: &str| {
        format!(
            "graph {{\n c = input : bool\n x = input : f64[2]\n y = cond(c, x) {{\n then: {then},\n \
             otherwise: body(a) {{\n a = input : f64[2]\n return a\n }}\n }}\n z = tanh(y)\n return z\n}}"
        )
    };
    wrong(&body("body(a) {\n a = input : f64[2]\n b = tahn(a)\n return b\n }"), &["7:6: unknown op `tahn`"]);
    wrong(&body("body(b) {\n a = input : f64[2]\n return a\n }"), &["5:13: unknown value `b`"]);
    wrong(&body("body(a) {\n a = input : f64[2]\n return x\n }"), &["7:9: unknown value `x`"]);
    wrong(&body("body() {\n a = input : f64[2]\n return a\n }"), &["input a of the body is no parameter"]);
    wrong(&body("body(a, a) {\n a = input : f64[2]\n return a\n }"), &["parameter a comes twice"]);
    wrong(&body("body(b) {\n a = input : f64[2]\n b = tanh(a)\n return b\n }"), &["parameter b is a result"]);
    wrong(&body("body(a) {\n a = input : f32[2]\n return a\n }"), &["cond: branch `then` takes f32[2]"]);
    wrong(&body("5"), &["cond: attribute `then` must be a body"]);
    let deep = format!("graph {{\n{}", " y = f {b: body() {\n".repeat(10_000));
    assert!(read(&deep).expect_err("it is never closed").to_string().contains("bodies nest deeper than 32"));
}

/// y = x·scale + shift, as another crate would write it.
#[derive(Debug)]
struct Affine {
    scale: f64,
    shift: i64,
    mode: String,
    sizes: Shape,
}

impl Rule for Affine {
    fn name(&self) -> &str {
        "affine"
    }
    fn equation(&self) -> (&'static str, &'static str) {
        ("y = x·scale + shift", "dx = d·scale")
    }
    fn attributes(&self) -> Attributes {
        vec![
            ("scale", Attribute::Float(self.scale)),
            ("shift", Attribute::Int(self.shift)),
            ("mode", Attribute::Name(self.mode.clone())),
            ("sizes", Attribute::Shape(self.sizes)),
        ]
    }
    fn infer(&self, inputs: &[Type]) -> Result<Types, Ill> {
        Ok(inputs.iter().copied().take(1).collect())
    }
    fn eval(&self, _inputs: &[&Array], _outputs: &[Type]) -> Result<Arrays, Ill> {
        Err(Ill::new("is not run here"))
    }
    fn family(&self) -> Family<'_> {
        Family::None("is not differentiated here")
    }
}

#[test]
fn custom_ops_are_read_through_the_registry() {
    let g = Graph::new();
    let x = g.input("x", "f32[B]");
    let sizes = Shape::new(&[Dim::named("B") * 2, 3.into()]);
    let op = Custom::new(Affine { scale: -1e-300, shift: -3, mode: "a \"mode\"".to_string(), sizes });
    let text = document(&g, &[("y", op.call(&[x]))]).print().text;
    assert!(
        text.contains(
            "affine(x) {scale: -1e-300, shift: -3, mode: \"a \\\"mode\\\"\", sizes: [2*B, 3]} : f32[B]"
        ),
        "{text}"
    );
    assert!(read(&text).expect_err("nobody added it").to_string().contains("unknown op `affine`"));
    let mut registry = Registry::new();
    let affine = |given: &Given| -> Result<Op, String> {
        let (scale, shift) = (given.float("scale")?, given.int("shift")?);
        Ok(Custom::new(Affine { scale, shift, mode: given.name("mode")?, sizes: given.shape("sizes")? })
            .into())
    };
    registry.add("affine", affine).expect("the name is free");
    assert!(registry.add("affine", affine).is_err());
    assert!(registry.add("matmul", affine).is_err());
    let back = parse(&text, "custom.graph", &|_| None, &registry).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(back.print().text, text);
    assert_eq!(back.records.nodes()[1].op, Op::from(op));
}

fn every_op() -> Document {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f64[B, 3]"), g.input("y", "f64[B, 3]"));
    let (n, m) = (g.input("n", "i64[B, 3]"), g.input("0.odd \"name\"\n", "i32[3]"));
    let mut made = vec![x, y, n, m];
    for &op in backprop_core::ops::Unary::ALL {
        made.push(backprop_core::emit(op, &[x]).one());
    }
    for &op in backprop_core::ops::Binary::ALL {
        made.push(backprop_core::emit(op, &[x, y]).one());
        made.push(backprop_core::emit(op, &[n, n]).one());
    }
    let mut truths = Vec::new();
    for &op in backprop_core::ops::Compare::ALL {
        truths.push(backprop_core::emit(op, &[x, y]).one());
    }
    for &op in backprop_core::ops::Logic::ALL {
        let operands = &truths[..if op == backprop_core::ops::Logic::Not { 1 } else { 2 }];
        truths.push(backprop_core::emit(op, operands).one());
    }
    made.push(truths[0].select(x, y));
    for dtype in DType::ALL {
        made.push(x.cast(dtype));
    }
    made.extend([x.stop_gradient(), x.identity(), x.t(), x.flatten(), x.slice_axis(0, 1, "B")]);
    made.push(x.slice([Dim::Size(0), Dim::Size(0)], [Dim::named("B"), 3.into()], [Dim::Size(2), 1.into()]));
    made.push(x.pad([Dim::Size(1), Dim::Size(0)], [Dim::named("T"), 2.into()]));
    made.extend([concat(&[x, y, x], 0), y.broadcast_to([Dim::Size(2), Dim::named("B"), 3.into()])]);
    let rows = g.input("rows", "i64[2, 5]");
    made.extend([x.gather(0, rows), x.scatter_add(0, rows, x.gather(0, rows))]);
    made.extend([rows.one_hot(Dim::named("B"), DType::F32), rows.one_hot(4usize, DType::Bool), x.argmax(1)]);
    let (largest, index) = x.max_with_index(1);
    made.extend([
        largest.named("largest"),
        index,
        x.sum(()),
        x.max(1),
        x.logsumexp([0, 1]),
        x.log_softmax(0),
        x.norm(),
        x.fma(y, x),
        truths[0].any(0),
    ]);
    made.push(backprop_core::emit(backprop_core::ops::Sum { axes: Default::default() }, &[x]).one());
    made.extend([
        x.matmul(y.t()),
        x.unsqueeze(0).matmul(y.t().unsqueeze(0)),
        x.contract(y, &[0, 1], &[0, 1]),
    ]);
    let key = g.constant(vec![1u32, 2, 3, 4]);
    made.extend([key.uniform(DType::F32, [Dim::named("B"), 2.into()]), key.normal(DType::F64, [3usize])]);
    made.extend([x.dim_value(0), x.iota_like(1, DType::I32), x.mean(()), x.softmax(-1)]);
    made.extend([
        g.full("f32[2]", 0.1),
        g.full("u8[B]", 255),
        g.full("bool[]", 1),
        g.full("f64[2]", f64::NEG_INFINITY),
    ]);
    made.extend([
        g.constant(-f64::NAN),
        g.constant(vec![f32::MIN_POSITIVE; 3]),
        g.constant(vec![false, true]),
    ]);
    made.push(
        g.constant(Array::new([5, 20], (0..100).map(|i| i as f32 / 7.0).collect()).expect("100"))
            .named("big"),
    );
    made.push(g.constant(Array::vector((0..65i64).collect::<Vec<_>>())));
    made.push(g.constant(Array::new([0, 7], Vec::<i32>::new()).expect("none")));
    let w = g.input("inner weight", "f64[3]");
    made.push(cond(
        x.sum(()).gt(0.0),
        || (x * w).tanh().named("t"),
        || cond(y.sum(()).lt(0.0), || -x, || x * 2.0),
    ));
    let (last, all) = scan_indexed(w, x, |k, h, x| {
        let h = (h * x + w).tanh() * k.cast(DType::F64);
        (h, (h, k))
    });
    made.extend([last, all.0, all.1, scan_reverse(w, x, |h, x| (h + x, ())).0]);
    let outputs: Vec<(&str, Tensor)> = made.iter().map(|&value| ("out", value)).collect();
    document(&g, &outputs)
}

#[test]
fn every_op_prints_as_it_parses() {
    let document = every_op();
    let text = round_trip(&document);
    assert!(text.contains("\"0.odd \\\"name\\\"\\n\" = input : i32[3]"), "{text}");
    assert!(text.contains("big = constant @big : f32[5, 20]"), "{text}");
    let printed: std::collections::BTreeSet<&str> =
        document.records.nodes().iter().map(|node| node.op.name()).collect();
    for name in Registry::new().names() {
        assert!(printed.contains(name), "{name} is in no graph of this test");
    }
}

#[test]
fn ill_values_print_and_are_refused() {
    let g = Graph::new();
    let x = g.input("x", "f32[2, 3]");
    let y = x.matmul(x).named("y");
    let text = print(&g.records(), &[("y".to_string(), y.id())]).text;
    assert!(text.contains(": ?  # matmul: inner dimensions differ"), "{text}");
    let error = read(&text).expect_err("it was ill").to_string();
    assert!(error.contains("the graph was printed with a fault"), "{error}");
}

/// Each part occurs in the report, and there are as many errors.
#[track_caller]
fn wrong(text: &str, parts: &[&str]) {
    let error = read(text).expect_err("the text is wrong");
    let told = error.to_string();
    assert_eq!(error.errors.len(), parts.len(), "{told}");
    for part in parts {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
}

#[test]
fn every_error_is_told_with_its_place() {
    let text = "graph {\n  x = input : f32[2, 3]\n  y = tahn(x)\n  z = add(x, yy)\n  w = sum(x) {axis: [0]}\n  \
                u = add(x, z)\n  v = reshape(x) {shape: [2, 2]}\n  return w, vv\n}\n";
    wrong(
        text,
        &[
            "test.graph:3:7: unknown op `tahn`\n  3 |   y = tahn(x)\n    |       ^^^^ did you mean `tanh`?",
            "test.graph:4:14: unknown value `yy`\n  4 |   z = add(x, yy)\n    |              ^^ did you mean `y`?",
            "test.graph:5:15: sum has no attribute `axis`",
            "test.graph:7:7: reshape: cannot reshape 6 elements to [2, 2] (4 elements)",
            "test.graph:8:13: unknown value `vv`",
        ],
    );
}

#[test]
fn errors_say_what_was_found_and_expected() {
    let line =
        |line: &str, part: &str| wrong(&format!("graph {{\n  x = input : f32[2, 3]\n{line}\n}}"), &[part]);
    wrong("", &["test.graph:1:1: expected `graph {`, found the end of the text"]);
    wrong("graph {\n", &["test.graph:2:1: expected `}`, found the end of the text"]);
    wrong("graph {\n}\nx", &["test.graph:3:1: expected the end of the text after `}`, found `x`"]);
    line("  y tanh(x)", "3:5: expected `=`, found `tanh`");
    line("  y = tanh(x", "3:13: expected `,` or `)`, found the end of the line");
    line("  y = tanh(x) : f32[2, 4]", "3:17: `y` is f32[2, 3], not f32[2, 4]");
    line("  y = tanh(x) : f32[2", "expected `,` or `]`, found");
    line("  y = tanh(x) : f16[2]", "3:17: `f16` is no element type");
    line("  y = tanh(x) : f32[2, 3], f32", "the op has 1 results, but 2 types are written");
    line("  y, z = tanh(x)", "3:10: the op has 1 results, but 2 names stand before `=`");
    line("  x = tanh(x)", "3:3: `x` is defined already, on line 2");
    line("  y = tanh(x, x)", "tanh: takes 1 operand, but 2 were given");
    line("  y = max(x, x)", "the larger of two values is maximum");
    line("  y = tanh(1.0)", "expected a value, found the number `1.0`");
    line("  gradient = tanh(x)", "3:12: expected `:`, found `=`");
    line("  graph = tanh(x)", "`graph` is a keyword; a value of that name stands in quotes");
    line("  y = tanh(x) extra", "expected the end of the line, found `extra`");
    line("  y = tanh(z)\n  z = tanh(x)", "it is defined below, on line 4");
    line(
        "  y = sum(x) {axes: 0}",
        "3:21: sum: attribute `axes` must be a list of integers, as `[0, 1]`, not `0`",
    );
    line("  y = sum(x) {axes: [2]}", "sum: [2] are no axes of a value of rank 2");
    line("  y = sum(x) {axes: [0], axes: [0]}", "attribute `axes` is given twice");
    line("  y = reshape(x)", "reshape: attribute `shape` is missing");
    line(
        "  y = reshape(x) {shape: [2, +]}",
        "3:30: reshape: attribute `shape`: expected a size or a name, found `+`",
    );
    line("  y = reshape(x) {shap: [6]}\n# it stays one line", "reshape has no attribute `shap`");
    line("  y = full {value: 300} : u8[2]", "full: u8 cannot hold 300");
    line("  y = full {value: 1.0}", "the type of the result must be written");
    line("  y = constant [1, 2] : f32[3]", "3:16: the numbers have sizes [2], the type says [3]");
    line("  y = constant [1, 2 : f32[2]", "expected `,` or `]`, found `:`");
    line("  y = constant @big : f32[2]", "no array was given for the constant `big`");
    line("  y = constant [1.5] : i32[1]", "3:17: `1.5` is no i32");
    line("  assume B == B + 1", "`B` is assumed to be something of itself");
    line("  assume B = 2", "expected `==`, found `=`");
    line("  y = tanh(x) & z", "expected the end of the line, found `&`");
    line("  y = tanh(\"x)", "found a quote that is never closed");
    line("  y = input : f32[99999999999999999999]", "`99999999999999999999` is no size");
    line(&format!("  y = input : f32[{}1]", "(".repeat(1000)), "nest deeper than 32");
}

#[test]
fn every_name_is_read_as_it_was_given() {
    let names = [
        "",
        "a b",
        "a\"b",
        "a\\b",
        "new\nline",
        "\r",
        "tab\t",
        "nul\0",
        "é",
        "日本",
        "%1",
        "1",
        "1.5",
        "nan",
        "-x",
        "graph",
        "return",
        "body",
        "x#y",
        "a,b",
        "a}b",
        "@k",
        "\u{feff}x",
        "\u{2028}",
        ":",
        "a:b",
        "\u{202e}rtl",
        "no_grad",
    ];
    for name in names {
        let g = Graph::new();
        let x = g.input(name, "f64[]");
        let large = g.constant(Array::vector(vec![1.5; 100])).named(&format!("{name}.large"));
        let y = (x + large.sum(())).named(&format!("{name}2"));
        let text = round_trip(&document(&g, &[(name, x), (&format!("{name}out"), y)]));
        let back = read_printed(&document(&g, &[(name, x)]).print()).expect("it was printed");
        assert_eq!(back.records.by_name(name), Some(x.id()), "{text}");
        assert_eq!(back.outputs, [(name.to_string(), x.id())], "{text}");
    }
}

#[test]
fn a_line_of_a_file_is_the_place_of_its_node() {
    let document = read("graph {\n\n  x = input : f32[2]\n  y = relu(x)\n}").expect("it is right");
    let place = |node: usize| document.records.place(document.records.nodes()[node].place).to_string();
    assert_eq!(place(0), "test.graph:3");
    assert_eq!(place(document.records.n_nodes() - 1), "test.graph:4");
}

#[test]
fn every_prefix_and_mutation_is_answered() {
    let document = every_op();
    let printed = document.print();
    let text = format!("# comment θ\n{}", printed.text);
    let constants =
        |name: &str| printed.constants.iter().find(|(own, _)| own == name).map(|(_, array)| array.clone());
    let registry = Registry::new();
    let answer = |text: &str| {
        if let Ok(document) = parse(text, "mutated.graph", &constants, &registry) {
            assert_eq!(verify(&document.records), Ok(()));
        }
    };
    for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)).step_by(7) {
        answer(&text[..end]);
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let spice = [
        "{", "}", "(", ")", "[", "]", ",", ":", "=", "==", "\"", "\n", "#", "%", "@", "-", "9", "x", "é",
        "\\", "nan(0x", "B//",
    ];
    let lines: Vec<&str> = text.lines().collect();
    for _ in 0..1500 {
        // A few lines of the text, with some bytes cut out and some put in.
        let mut piece: String = "graph {\n".to_string();
        for _ in 0..6 {
            piece.push_str(lines[random(lines.len())]);
            piece.push('\n');
        }
        piece.push('}');
        for _ in 0..1 + random(4) {
            let mut at = random(piece.len());
            while !piece.is_char_boundary(at) {
                at -= 1;
            }
            match random(3) {
                0 => piece.insert_str(at, spice[random(spice.len())]),
                1 => drop(piece.remove(at)),
                _ => {
                    let mut end = (at + random(20)).min(piece.len());
                    while !piece.is_char_boundary(end) {
                        end -= 1;
                    }
                    piece.replace_range(at.min(end)..end, "");
                }
            }
        }
        answer(&piece);
    }
}

#[test]
fn hostile_sizes_are_not_believed() {
    wrong("graph {\n x = constant [1] : f32[4000000000, 4000000000]\n}", &["the type says"]);
    wrong("graph {\n x = constant [] : f32[4000000000, 4000000000]\n}", &["the numbers have sizes [0]"]);
    let nest = "[".repeat(100_000);
    assert!(read(&format!("graph {{\n x = constant {nest}\n}}")).is_err());
    assert!(read(&format!("graph {{\n x = f {{a: {nest}}}\n}}")).is_err());
    assert!(read(&"graph {\n x = f {".repeat(10_000)).is_err());
    let product: String = (0..40).map(|i| format!("(n{i} + 1)*")).collect();
    wrong(&format!("graph {{\n x = input : f32[{product}1]\n}}"), &["the size has too many terms"]);
    let squares: String = (0..40).map(|i| format!(" assume A{i} == A{}*A{}\n", i + 1, i + 1)).collect();
    let text = format!("graph {{\n{squares} x = input : f32[A0]\n y = sum(x) {{axes: []}}\n}}");
    wrong(&text, &["sum: "]);
}

#[test]
fn many_errors_end() {
    let error = read(&format!("graph {{\n{}}}\n", "  ? ? {\n".repeat(20_000))).expect_err("nothing is right");
    assert_eq!(error.errors.len(), ParseError::MOST);
    assert!(error.gave_up);
    let one_line = format!("graph {{ {} }}", "x = ".repeat(100_000));
    assert!(read(&one_line).is_err());
}

#[test]
fn long_chains_print_and_parse() {
    let n = 100_000;
    let g = Graph::new();
    let x = g.input("x", "f32[B, 3]");
    let y = (0..n).fold(x, |y, _| y.tanh());
    let document = document(&g, &[("y", y)]);
    let first = document.print().text;
    let back = read(&first).expect("it was printed");
    assert_eq!(back.records.n_nodes(), n + 1);
    assert_eq!(back.print().text, first);
}

/// With a look at the whole line for each name or type, these would take minutes.
#[test]
fn much_in_one_line_costs_its_length() {
    let n = 200_000;
    let names = vec!["\"a name\""; n].join(", ");
    let text = format!(
        "graph {{\n  \"a name\" = input : f64[2]\n  y = concat({names}) {{axis: 0}}\n  return y\n}}\n"
    );
    let records = read(&text).unwrap().records;
    assert_eq!(records.nodes()[1].inputs.len(), n);
    let types = vec!["f64[N, 2]"; n].join(", ");
    let text = format!("graph {{\n  x = input : f64[2]\n  y = neg(x) : {types}\n  return y\n}}\n");
    wrong(&text, &["y = neg(x)"]);
}

#[test]
fn axes_of_a_reduction_increase() {
    let text = |axes: &str| {
        format!(
            "graph {{\n  x = input : f64[2, 3, 5]\n  y = sum(x) {{axes: {axes}}} : f64[3]\n  return y\n}}\n"
        )
    };
    check(&text("[-1, 0]"), &text("[0, 2]"));
    let g = Graph::new();
    let x = g.input("x", "f64[2, 3, 5]");
    assert!(x.sum(Axes::new(&[2, 0])).get_operation() == x.sum([0, 2]).get_operation());
    let y = emit(Sum { axes: Axes::new(&[2, 0]) }, &[x]).one();
    assert!(g.check(&[y]).unwrap_err().to_string().contains("the axes [2, 0] do not increase"));
}
