//! Every node stands at the line of whoever called for it, never at a line of this crate.

use backprop_core::{DType, Dim, Graph, Tensor, concat, cond, scan, scan_n};

/// Everything that a user can call on tensors: a line that is not theirs shows in one of the nodes.
fn every_call(g: &Graph) -> Vec<Tensor> {
    let (x, y) = (g.input("x", "f64[B, 3]"), g.input("y", "f64[3]"));
    let (i, rows) = (g.input("i", "i64[B]"), g.input("rows", "i64[2, 5]"));
    let cube = g.input("cube", "f64[1, B, 3]");
    let key = g.constant(vec![1u32, 2, 3, 4]);
    let (size, shape) = (Dim::named("B"), x.shape().expect("an input has one"));
    let mut made = vec![
        x + y,
        2.0 - x,
        x * 2i64,
        x / y,
        -x,
        x.pow(2.0),
        x.maximum(y),
        x.minimum(0.0),
        x.gt(y),
        x.le(0.0).and(x.ge(y)).or(x.eq(y)).not(),
        x.gt(0.0).select(x, y),
        x.gt(0.0).select(1.0, 0.0),
        x.gt(0.0).select(y, 0.0),
        x.cast(DType::F32),
        x.stop_gradient(),
        x.identity(),
        x.tanh(),
        x.square(),
        x.relu(),
        x.gelu(),
        x.silu(),
        x.softmax(-1),
        x.log_softmax(0),
        x.norm(),
        x.layer_norm(Some(y), Some(y), 1e-5),
        x.cross_entropy(i),
        x.mse_loss(y),
        x.binary_cross_entropy_with_logits(x),
        x.sum(()),
        x.sum(-1),
        x.mean(()),
        x.mean(0),
        x.max(1),
        x.logsumexp([0, 1]),
        x.gt(0.0).any(0),
        x.argmax(1),
        x.max_with_index(-1).0,
        x.gather(0, rows),
        x.scatter_add(0, rows, x.gather(0, rows)),
        rows.one_hot(7usize, DType::F32),
        x.matmul(y),
        y.matmul(x.t()),
        x.matmul(cube.t()),
        y.matmul(cube.t()),
        cube.matmul(cube.t()),
        x.contract(y, &[1], &[0]),
        x.t(),
        x.transpose(&[1, 0]),
        x.reshape([-1i64, 1]),
        x.flatten(),
        x.unsqueeze(1),
        x.broadcast_to([Dim::Size(2), size, 3.into()]),
        x.slice_axis(0, 1usize, size),
        x.slice([0usize, 0], shape, [2usize, 1]),
        x.pad([1usize, 0], [0usize, 2]),
        concat(&[x, x], 1),
        x.dim_value(0),
        x.iota_like(1, DType::I32),
        x.full_like(2.0),
        x.zeros_like(),
        x.ones_like(),
        g.full("f32[2]", 0.5),
        key.uniform(DType::F32, [size]),
        key.normal(DType::F64, [3usize]),
        key.fold_in(i.sum(())),
        x.broadcast_with(y).1,
        x.accumulate(&[0]),
        x.reshaped_as(x.flatten()),
    ];
    made.push(cond(x.sum(()).gt(0.0), || x + y, || x.softmax(-1)));
    made.push(scan(y, x, |c, row| ((c * row).relu(), c.mean(()))).1);
    made.push(scan_n(3, y, |k, c| (c * k.cast(DType::F64), ())).0);
    made
}

/// Calls that break a rule.
fn every_fault(g: &Graph) -> Vec<Tensor> {
    let (x, y) = (g.input("a", "f64[2, 3]"), g.input("b", "f64[5]"));
    vec![
        x + y,
        x.matmul(y),
        x.argmax(7),
        x.softmax(7),
        x.log_softmax(-9),
        x.sum(9),
        x.mean(9),
        x.reshape([4i64, -1]),
        x.gelu().matmul(y),
        x.t().t().named("b"),
        y.t(),
        x.unsqueeze(9),
        x.max_with_index(5).1,
        x.cross_entropy(y),
        x.layer_norm(Some(y), None, 1e-5),
        x.gt(0.0).select(x, y),
        x.select(x, x),
        x.slice_axis(4, 0usize, 1usize),
        y.dim_value(3),
        x.contract(y, &[9], &[0]),
        x.transpose(&[0, 300]),
        g.input("c", "f64["),
        g.full("u8[2]", 300),
        x.cast(DType::I64).add_one(),
        x.cast(DType::I64).mean(()),
        x.cast(DType::I64).softmax(0),
    ]
}

trait AddOne {
    fn add_one(self) -> Tensor;
}
impl AddOne for Tensor {
    #[track_caller]
    fn add_one(self) -> Tensor {
        self + 0.5
    }
}

#[test]
fn every_node_stands_at_its_callers_line() {
    for calls in [every_call, every_fault] {
        let g = Graph::new();
        let made = calls(&g);
        let records = g.records();
        assert!(made.len() > 20);
        let wrong: Vec<String> = records
            .nodes()
            .iter()
            .filter_map(|node| {
                let line = records.place(node.place).line;
                (!line.starts_with(file!())).then(|| format!("{} at {line}", node.op.name()))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        for (_, fault) in records.faults() {
            let line = fault.place.as_ref().map(|place| place.line.clone()).unwrap_or_default();
            assert!(line.starts_with(file!()), "{fault}");
        }
        for node in records.nodes().iter().filter(|node| !node.op.rule().bodies().is_empty()) {
            for inner in node.op.rule().bodies() {
                let inner = inner.records();
                for node in inner.nodes() {
                    let line = inner.place(node.place).line;
                    assert!(line.starts_with(file!()), "in a body: {} at {line}", node.op.name());
                }
            }
        }
    }
}
