//! What graphs become: the text of their programs.

use backprop_core::DType;
use backprop_core::text::{Registry, parse};
use backprop_opt::loops::{
    Access, Buffer, Code, Cond, Home, Instr, Kind, Nest, Place, Program, Stage, Step, Store, Strides,
};
use backprop_opt::lower::{Options, lower};

/// Lowers a graph and compares the steps, without the list of buffers.
fn check(graph: &str, expected: &str) {
    let document = parse(graph, "test.graph", &|_| None, &Registry::new()).expect("a graph");
    let records = document.records;
    let is_input = |node: &&backprop_core::Node| matches!(node.op, backprop_core::Op::Input(_));
    let inputs: Vec<u32> = records.nodes().iter().filter(is_input).map(|node| node.first).collect();
    let outputs: Vec<u32> = document.outputs.iter().map(|&(_, value)| value).collect();
    let program = lower(&records, &inputs, &outputs, &Options::default());
    assert_eq!(program.verify(), Ok(()));
    let text = program.to_string();
    let steps = text.find("step 0").map_or("", |at| &text[at..]);
    let trimmed = |text: &str| {
        let lines: Vec<&str> =
            text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
        let indent = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
        lines.iter().map(|line| &line[indent..]).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(trimmed(steps), trimmed(expected), "\n{}", trimmed(steps));
}

#[test]
fn softmax_is_one_nest_of_three_stages() {
    check(
        "graph {
           x = input : f32[5, 7]
           m = max(x) {axes: [1]} : f32[5]
           m1 = reshape(m) {shape: [5, 1]} : f32[5, 1]
           mb = broadcast(m1) {shape: [5, 7]} : f32[5, 7]
           c = sub(x, mb) : f32[5, 7]
           e = exp(c) : f32[5, 7]
           s = sum(e) {axes: [1]} : f32[5]
           s1 = reshape(s) {shape: [5, 1]} : f32[5, 1]
           sb = broadcast(s1) {shape: [5, 7]} : f32[5, 7]
           y = div(e, sb) : f32[5, 7]
           return y
         }",
        "
         step 0  nest [] × [5, 7] [5, 7] [5, 7]
           local1 = -inf
           local2 = 0
           for i < 5, j < 7
             $0: f32 = x.0[7i + j]
             local1[i] max= $0  (64 partial results)
           for i < 5, j < 7
             $0: f32 = x.0[7i + j]
             $1: f32 = local1[i]
             $2: f32 = sub $0 $1
             $3: f32 = exp $2
             local0[7i + j] = $3
             local2[i] += $3  (64 partial results)
           for i < 5, j < 7
             $0: f32 = local0[7i + j]
             $1: f32 = local2[i]
             $2: f32 = div $0 $1
             y.1[7i + j] = $2",
    );
}

#[test]
fn few_columns_of_many_rows_are_vectors_of_rows() {
    check(
        "graph {
           x = input : f32[17, 2]
           s = sum(x) {axes: [1]} : f32[17]
           r = reciprocal(s) : f32[17]
           t = reshape(r) {shape: [17, 1]} : f32[17, 1]
           b = broadcast(t) {shape: [17, 2]} : f32[17, 2]
           y = mul(x, b) : f32[17, 2]
           return y
         }",
        "
         step 0  nest [] × [2, 17] [17] [2, 17]
           local1 = 0
           for i < 2, j < 17
             $0: f32 = x.0[i + 2j]
             local1[j] += $0
           for i < 17
             $0: f32 = local1[i]
             $1: f32 = reciprocal $0
             local0[i] = $1
           for i < 2, j < 17
             $0: f32 = x.0[i + 2j]
             $1: f32 = local0[j]
             $2: f32 = mul $0 $1
             y.1[i + 2j] = $2",
    );
}

#[test]
fn a_matrix_times_a_vector_takes_a_block_of_rows_at_once() {
    check(
        "graph {
           w = input : f32[22, 37]
           x = input : f32[37]
           h = contract(w, x) {lhs_contract: [1], rhs_contract: [0]} : f32[22]
           y = exp(h) : f32[22]
           return y
         }",
        "
         step 0  nest [2] × [11, 37] [11]
           for r < 2
             local0 = 0
             for i < 11, j < 37
               $0: f32 = w.0[407r + 37i + j]
               $1: f32 = x.1[j]
               $2: f32 = mul $0 $1
               local0[i] += $2  (64 partial results)
             for i < 11
               $0: f32 = local0[i]
               $1: f32 = exp $0
               y.2[11r + i] = $1",
    );
}

#[test]
fn bias_and_relu_are_done_on_the_products_and_branches_of_a_slope_too() {
    check(
        "graph {
           x = input : f32[3, 5]
           w = input : f32[7, 5]
           b = input : f32[7]
           d = input : f32[3, 7]
           h = contract(x, w) {lhs_contract: [1], rhs_contract: [1]} : f32[3, 7]
           bb = broadcast(b) {shape: [3, 7]} : f32[3, 7]
           a = add(h, bb) : f32[3, 7]
           zero = full {value: 0.0} : f32[3, 7]
           off = le(a, zero) : bool[3, 7]
           y = select(off, zero, a) : f32[3, 7]
           da = select(off, zero, d) : f32[3, 7]
           db = sum(da) {axes: [0]} : f32[7]
           dw = contract(da, x) {lhs_contract: [0], rhs_contract: [0]} : f32[7, 5]
           return y, db, dw
         }",
        "
         step 0  contraction f32 [3, 7] = [3, 5]·[5, 7], 5 products in a block
           a = x.0, strides [] 5 1
           b = w.1, strides [] 1 5
           for i < 7
             $0: f32 = product
             $1: f32 = b.2[i]
             $2: f32 = add $0 $1
             $3: f32 = 0
             $4: bool = le $2 $3
             $5: f32 = select $4 $3 $2
             $6: f32 = d.3[7r + i]
             $7: f32 = select $4 $3 $6
             y.4[7r + i] = $5
             da.7[7r + i] = $7
         step 1  nest [3] × [7]
           db.5 = 0
           for r < 3
             for i < 7
               $0: f32 = da.7[7r + i]
               db.5[i] += $0
         step 2  contraction f32 [7, 5] = [7, 3]·[3, 5], 3 products in a block
           a = da.7, strides [] 1 7
           b = x.0, strides [] 5 1
           for i < 5
             $0: f32 = product
             dw.6[5r + i] = $0",
    );
}

#[test]
fn cheap_values_are_computed_again_rather_than_stored() {
    check(
        "graph {
           x = input : f64[3, 5]
           y = neg(x) : f64[3, 5]
           s = sum(y) {axes: [0]} : f64[5]
           t = transpose(y) {perm: [1, 0]} : f64[5, 3]
           u = exp(t) : f64[5, 3]
           return s, u
         }",
        "
         step 0  nest [] × [5, 3] [3, 5]
           s.1 = 0
           for i < 5, j < 3
             $0: f64 = x.0[i + 5j]
             $1: f64 = neg $0
             $2: f64 = exp $1
             u.2[3i + j] = $2
           for i < 3, j < 5
             $0: f64 = x.0[5i + j]
             $1: f64 = neg $0
             s.1[j] += $1",
    );
}

#[test]
fn slices_are_views_and_concatenations_are_stores() {
    check(
        "graph {
           x = input : f32[4, 6]
           p = slice(x) {start: [0, 1], stop: [4, 6], step: [2, 2]} : f32[2, 3]
           q = tanh(p) : f32[2, 3]
           z = pad(q) {low: [1, 0], high: [0, 0], interior: [0, 0]} : f32[3, 3]
           c = concat(p, z) {axis: 0} : f32[5, 3]
           return c
         }",
        "
         step 0  nest [] × [2, 3] [9]
           for i < 2, j < 3
             $0: f32 = x.0[12i + 2j + 1]
             $1: f32 = tanh $0
             q.2[3i + j] = $1
           for i < 9
             $0: f32 = 0
             z.3[i] = $0
         step 1  nest [] × [2, 3] [2, 3]
           for i < 2, j < 3
             $0: f32 = q.2[3i + j]
             z.3[3i + j + 3] = $0
           for i < 2, j < 3
             $0: f32 = x.0[12i + 2j + 1]
             c.1[3i + j] = $0
         step 2  nest [] × [3, 3]
           for i < 3, j < 3
             $0: f32 = z.3[3i + j]
             c.1[3i + j + 6] = $0",
    );
}

#[test]
fn a_sum_of_all_is_added_row_by_row_beside_the_sums_of_rows() {
    // Alone, it is one fold of all elements.
    check(
        "graph {
           x = input : f32[37, 53]
           y = sum(x) {axes: [0, 1]} : f32[]
           return y
         }",
        "
         step 0  nest [] × [37, 53] []
           local0 = 0
           for i < 37, j < 53
             $0: f32 = x.0[53i + j]
             local0[0] += $0  (64 partial results)
           $0: f32 = local0[0]
           y.1[0] = $0",
    );
    check(
        "graph {
           x = input : f32[37, 53]
           r = sum(x) {axes: [1]} : f32[37]
           y = sum(x) {axes: [0, 1]} : f32[]
           return r, y
         }",
        "
         step 0  nest [37] × [53] []
           y.2 = 0
           for r < 37
             local0 = 0
             for i < 53
               $0: f32 = x.0[53r + i]
               local0[0] += $0  (64 partial results)
               y.2[0] += $0  (64 partial results)
             $0: f32 = local0[0]
             r.1[r] = $0",
    );
}

#[test]
fn a_truth_value_is_one_byte_and_0_or_1() {
    let bools = |len: usize, home: Home| Buffer { dtype: DType::Bool, len, home, label: "p".to_string() };
    let (body, arena) = (Box::<Program>::default(), 0);
    let (inputs, outputs, otherwise) = (Vec::new(), Vec::new(), body.clone());
    let kind = Kind::Cond(Cond { condition: 0, inputs, outputs, then: body, otherwise, arena });
    let nothing = Program {
        buffers: vec![bools(0, Home::Input(0))],
        steps: vec![Step { kind, nodes: Vec::new(), begins: Vec::new() }],
        inputs: vec![0],
        ..Program::default()
    };
    assert_eq!(nothing.verify(), Err("step 0: the condition is no bool".to_string()));
    for (bits, holds) in [(0, true), (1, true), (2, false)] {
        let mut code = Code::default();
        let value = code.push(Instr::Literal(bits), DType::Bool);
        let to = Access { place: Place::Buffer(0), offset: 0, rows: Strides::new(), columns: Strides::new() };
        let stores = vec![Store { value, to, watched: false }];
        let stage = Stage { code, stores, ..Stage::default() };
        let kind = Kind::Nest(Nest { stages: vec![stage], ..Nest::default() });
        let literal = Program {
            buffers: vec![bools(1, Home::Output(0))],
            steps: vec![Step { kind, nodes: Vec::new(), begins: Vec::new() }],
            outputs: vec![0],
            ..Program::default()
        };
        assert_eq!(literal.verify().is_ok(), holds);
    }
}
