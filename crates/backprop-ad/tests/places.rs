//! What a derivative emits stands at the line of the forward node that it belongs to, or at the line that
//! asked for the derivative; never at a line of a crate of ours.

use backprop_ad::{bprop, grad, grad_table, hessian, jacobian, jvp, vjp};
use backprop_core::{DType, Graph, Tensor, cond, scan};

/// A function of every family.
fn f(x: Tensor, w: Tensor) -> Tensor {
    let h = (x.matmul(w) + 1.0).relu().softmax(-1).layer_norm(None, None, 1e-5);
    let (c, all) = scan(h.sum(0), h, |c, row| ((c * row).tanh(), c.maximum(row).sum(())));
    let picked =
        h.max_with_index(1).0.sum(()) + h.gather(0, h.argmax(0)).pad([1usize, 0], [0usize, 2]).norm();
    cond(c.sum(()).gt(0.0), || all.logsumexp(()) + picked, || picked * h.max(()))
}

#[test]
fn no_node_stands_at_a_line_of_ours() {
    let g = Graph::new();
    let (x, w) = (g.input("x", "f64[2, 3]"), g.input("w", "f64[3, 5]"));
    let (alone, i) = (g.input("alone", "f64[2]"), g.input("i", "i64[2]"));
    let z = f(x, w);
    let table = grad_table(z, &[x, w, alone, i, z, x]);
    let [dx] = grad(z, [x]);
    let second = vjp(&[(dx, x.cos())], &[x, w]).gradients().to_vec();
    let pushed = jvp(&[z, dx, alone], &[(x, x.ones_like()), (w, w.sin())]).tangents().to_vec();
    let blocks = jacobian(&[x.matmul(w).sum(1), x.sum(0)], &[x, alone, i]);
    let h = hessian(x.sin().prod_of_rows(), x);
    let y = x.cast(DType::F32);
    let single = bprop(&y.get_operation().expect("y lives"), &[x], &[y], 0, &[Some(y.ones_like())]);
    // What is wrong is told at the line that asked for it, too.
    let ill = [grad(x, [x])[0], vjp(&[(x, z)], &[x]).gradients()[0], jvp(&[z], &[(x, z)]).tangents()[0]];
    assert!(ill.iter().all(|ill| ill.ty().is_none()) && single.is_ok());
    assert_eq!((table.gradients().len(), second.len(), pushed.len(), blocks.len()), (6, 2, 3, 2));
    assert!(h.ty().is_some());
    let records = g.records();
    for node in records.nodes() {
        let line = records.place(node.place).line;
        assert!(line.starts_with(file!()), "{} at {line}", node.op.name());
        for body in node.op.rule().bodies() {
            for node in body.records().nodes() {
                let line = body.records().place(node.place).line;
                assert!(line.starts_with(file!()), "in a body: {} at {line}", node.op.name());
            }
        }
    }
    for (_, fault) in records.faults() {
        assert!(fault.place.as_ref().is_some_and(|place| place.line.starts_with(file!())), "{fault}");
    }
}

trait Rows {
    fn prod_of_rows(self) -> Tensor;
}

impl Rows for Tensor {
    #[track_caller]
    fn prod_of_rows(self) -> Tensor {
        let rows = self.sum(1);
        (rows.slice_axis(0, 0usize, 1usize) * rows.slice_axis(0, 1usize, 2usize)).sum(())
    }
}
