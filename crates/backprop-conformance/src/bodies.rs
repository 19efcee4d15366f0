//! The functions with control flow that the golden files name; `goldens/script/ops_control.py` has the
//! same ones in JAX.

use backprop_core::{DType, Tensor, cond, scan, scan_indexed, scan_n, scan_reverse};

/// A function of tensors that are at hand.
type Body = fn(&[Tensor]) -> Vec<Tensor>;

/// The function of a name in `ops.json` or `dtypes.json`; `None` for a name that is unknown.
pub(crate) fn body(op: &str, name: &str) -> Option<Body> {
    Some(match (op, name) {
        ("cond", "sin_or_cube") => |x| vec![cond(x[0], || x[1].sin() * x[2], || x[1] * x[1] * x[1] + x[2])],
        ("cond", "two_outputs") => |x| {
            let (p, x) = (x[0], x[1]);
            let (a, b) = cond(p, || (x.exp(), x.sum(())), || (x * x, x.tanh().sum(())));
            vec![a, b]
        },
        ("cond", "each_reads_its_own") => |x| vec![cond(x[0], || x[1] * x[1], || x[2].sin() * x[2])],
        ("cond", "matmul") => |x| {
            let product = || x[1].matmul(x[2]);
            vec![cond(x[0], || product().tanh(), || product() * product())]
        },
        ("cond", "nested") => {
            |x| vec![cond(x[0], || cond(x[1], || x[2].sin(), || x[2].exp()), || x[2] * x[2])]
        }
        ("cond", "of_scan") => |x| {
            let looped = || {
                let start = x[1].sum(()).zeros_like() + 0.5;
                scan(start, x[1], |c, v| (c * v.sin() + v, ())).0
            };
            vec![cond(x[0], looped, || (x[1] * x[1]).sum(()))]
        },
        ("cond", "gather") => |x| {
            let (p, x, at) = (x[0], x[1], x[2]);
            let first = || x.slice_axis(0, 0usize, 3usize);
            let second = || x.slice_axis(0, 1usize, 2usize).sum(());
            vec![cond(p, || x.gather(0, at).square(), || first() * second())]
        },
        ("cond", "computed") => |x| {
            let x = x[0];
            vec![cond(x.sum(()).gt(0.0), || (x * x + 1.0).sqrt(), || -(x * x * x))]
        },
        ("cond", "either") => |x| vec![cond(x[0], || x[1], || x[2])],
        ("scan", "rnn") => |x| {
            let (w, u) = (x[2], x[3]);
            let (h, all) = scan(x[0], x[1], |h, x| {
                let h = (w.matmul(h) + u.matmul(x)).tanh();
                (h, h)
            });
            vec![h, all]
        },
        ("scan", "cumsum") => |x| {
            let (c, all) = scan(x[0], x[1], |c, x| (c + x, c + x));
            vec![c, all]
        },
        ("scan", "any") => |x| {
            let (c, all) = scan(x[0], x[1], |c, x| (c.or(x), c.or(x)));
            vec![c, all]
        },
        ("scan", "backwards") => |x| {
            let w = x[2];
            let (c, all) = scan_reverse(x[0], x[1], |c, x| {
                let after = c.sin() * x + w;
                (after, after * c)
            });
            vec![c, all]
        },
        ("scan", "iterated") => |x| vec![scan_n(4usize, x[0], |_, c| (c.sin() * x[0], ())).0],
        ("scan", "gated") => |x| {
            let ((h, c), all) = scan((x[0], x[1]), (x[2], x[3]), |(h, c), (a, b)| {
                let gate = (a + h).sigmoid();
                let c = gate * c + (1.0 - gate) * b.tanh();
                let h = gate * c.tanh();
                ((h, c), h + c)
            });
            vec![h, c, all]
        },
        ("scan", "numbered") => |x| {
            let (c, all) = scan_indexed(x[0], x[1], |k, c, x| {
                let k = k.cast(c.dtype().unwrap_or(DType::F64));
                let c = c * (k + 1.0) + x * x;
                (c, c * k)
            });
            vec![c, all]
        },
        ("scan", "branching") => |x| {
            let (c, all) = scan(x[0], x[1], |c, x| {
                let c = cond(x.gt(0.0), || c * x.sin(), || c - x * x);
                (c, c)
            });
            vec![c, all]
        },
        ("scan", "nested") => |x| {
            let (c, all) = scan(x[0], x[1], |c, row| {
                let (s, ()) = scan(c.sum(()), row, |s, v| (s * 0.5 + v.tanh(), ()));
                (c * s, s)
            });
            vec![c, all]
        },
        ("scan", "products") => |x| vec![scan(x[0], x[1], |c, x| (c.matmul(x).tanh(), ())).0],
        _ => return None,
    })
}
