//! f32 against f64: the same operands, exact in both; results, gradients and gradients of those.

use backprop_core::{Array, DType};

use crate::checks::read;
use crate::compare::{F32_ULP, f32_stated, ulps_f32};
use crate::functions::Function;
use crate::golden::{Case, Pointwise};
use crate::golden_checks::{Computed, columns, derivatives};
use crate::matrix::Cell;

/// What was found for one op.
#[derive(Default)]
pub struct Narrow {
    /// The comparisons.
    pub cell: Cell,
    /// The largest difference, in units in the last place of max(1, |f64 result|∞).
    pub measured: f64,
}

impl Narrow {
    /// Counts one array of results.
    fn judge(&mut self, op: &str, got: &[f64], want: &[f64], at: &dyn std::fmt::Debug) {
        let unit = f64::from(f32::EPSILON) * want.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
        let apart = |(&got, &want): (&f64, &f64)| if got == want { 0.0 } else { (got - want).abs() / unit };
        // A NaN is far away.
        let worst = got.iter().zip(want).map(apart).fold(0.0, |max, x| if x <= max { max } else { x });
        self.measured = self.measured.max(worst);
        let stated = f32_stated(op);
        self.cell.count(got.len() == want.len() && worst <= stated, || {
            format!("{worst:.1} units, {stated} stated: at {at:?} {got:?}, in f64 {want:?}")
        });
    }

    /// A case of `ops.json` or `reductions.json`, its numbers rounded to f32.
    pub(crate) fn case(&mut self, case: &Case, f: &Function) {
        if case.inputs.iter().all(|x| x.dtype() != DType::F64) {
            return;
        }
        let rounded = |x: &Array| if x.dtype() == DType::F64 { x.cast(DType::F32) } else { x.clone() };
        let exact = |x: &Array| if x.dtype() == DType::F64 { rounded(x).cast(DType::F64) } else { x.clone() };
        let all = |arrays: &[Array], to: &dyn Fn(&Array) -> Array| arrays.iter().map(to).collect::<Vec<_>>();
        let list = |arrays: &Option<Vec<Option<Array>>>, to: &dyn Fn(&Array) -> Array| {
            let one = |array: &Option<Array>| array.as_ref().map(to);
            arrays.as_ref().map(|arrays| arrays.iter().map(one).collect::<Vec<_>>())
        };
        let compute = |to: &dyn Fn(&Array) -> Array| {
            let (d, v) = (list(&case.d, to), list(&case.v, to));
            // A cast's result has its own type, whatever its operand has.
            let d = if case.op == "cast" { case.d.clone() } else { d };
            Computed::new(f, &all(&case.inputs, to), d.as_deref(), v.as_deref())
        };
        let (narrow, wide) = (compute(&rounded), compute(&exact));
        let both = |computed: &Computed| -> Result<Vec<Array>, String> {
            let tables = [&computed.first, &computed.second].into_iter().flatten();
            let gradients: Vec<_> = tables.flat_map(|table| table.gradients()).copied().collect();
            Ok([read(&computed.y)?, read(&gradients)?].concat())
        };
        match (both(&narrow), both(&wide)) {
            (Ok(narrow), Ok(wide)) if narrow.len() == wide.len() => {
                for (narrow, wide) in narrow.iter().zip(&wide) {
                    let types = (narrow.dtype(), wide.dtype());
                    let is_twin = types.0 == types.1 || types == (DType::F32, DType::F64);
                    self.cell.count(is_twin, || format!("{types:?} at {:?}", case.params));
                    self.judge(&case.op, &narrow.to_f64s(), &wide.to_f64s(), &case.params);
                }
            }
            (narrow, wide) => self.cell.note(1, Err(format!("f32 {narrow:?}, f64 {wide:?}"))),
        }
    }

    /// An op of `pointwise.json`, at the points that f32 holds.
    pub(crate) fn pointwise(&mut self, op: &Pointwise, f: &Function) {
        let holds = |x: f64| f64::from(x as f32) == x;
        let is_normal = |x: &f64| *x == 0.0 || (*x as f32).is_normal();
        let fits = |row: &&Vec<f64>| {
            row[..op.arity].iter().all(|&x| holds(x)) && row[op.arity..].iter().all(is_normal)
        };
        let n = op.arity;
        let rows: Vec<Vec<f64>> = op.points.iter().filter(fits).cloned().collect();
        let inputs: Vec<Array> = columns(&rows, n).iter().map(|x| x.cast(DType::F32)).collect();
        let got = derivatives(f, &inputs, n);
        for (at, row) in rows.iter().enumerate() {
            if !op.is_composite() {
                let (value, want) = (got[0][at] as f32, row[n] as f32);
                let apart = ulps_f32(value, want);
                self.cell
                    .count(apart <= F32_ULP, || format!("at {:?}: {value:?} is not {want:?}", &row[..n]));
            }
            let orders: Vec<f64> = got.iter().map(|column| column[at]).collect();
            for (got, want) in orders.iter().zip(&row[n..]) {
                self.judge(&op.name, &[*got], &[*want], &&row[..n]);
            }
        }
    }
}
