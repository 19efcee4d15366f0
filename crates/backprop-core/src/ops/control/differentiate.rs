//! The derivatives of `cond` and `scan`.
//!
//! ```text
//! cond    dx = cond(c, then's vjp, otherwise's vjp)
//! scan    forward    cₖ₊₁ = f(k, cₖ, xₖ, w), keeping every cₖ
//!         backward   dcₖ, dxₖ, dwₖ = f's vjp at (k, cₖ, xₖ, w) of (dcₖ₊₁, dyₖ);  dw = Σ dwₖ
//! ```
//!
//! (Griewank, Walther 2008, "Evaluating Derivatives", §4.2: a loop's adjoint runs it backwards.)

use std::panic::Location;

use super::cond::{self, Cond};
use super::home_of;
use super::scan::{Loop, Scan, stacked};
use crate::graph::body::Body;
use crate::graph::draft::draft;
use crate::graph::place::Line;
use crate::ops::{Bprop, Differentiate, Gradient};
use crate::tensor::Tensor;
use crate::types::Type;

const NO_PATH: &str = "no smooth path through the body";

fn here() -> Line {
    Line::Code(Location::caller())
}

/// The places of a list where `holds`.
fn places(holds: impl IntoIterator<Item = bool>) -> Vec<usize> {
    holds.into_iter().enumerate().filter_map(|(idx, holds)| holds.then_some(idx)).collect()
}

fn pick<T: Copy>(from: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&idx| from[idx]).collect()
}

fn is_float(x: Tensor) -> bool {
    x.dtype().is_some_and(|dtype| dtype.is_float())
}

pub(super) fn cond_bprop(op: &Cond, at: &Bprop) -> Vec<Gradient> {
    let mut gradients = vec![Gradient::Zero(NO_PATH); at.x.len()];
    let (pred, x) = (at.x[0], &at.x[1..]);
    let Some(home) = home_of(at.x) else { return gradients };
    let seeds = places(at.d.iter().map(Option::is_some));
    let wanted = places(at.wanted[1..].iter().copied());
    let operands: Vec<Tensor> = x.iter().copied().chain(at.d.iter().flatten().copied()).collect();
    let branches = [&op.then, &op.otherwise].map(|body| {
        let types = operands.iter().map(|operand| operand.ty());
        let built = draft(Some(home), here(), types, |own| {
            let (x, d) = own.split_at(x.len());
            let y = body.replay(x, home);
            let d: Vec<Option<Tensor>> = d.iter().copied().map(Some).collect();
            at.engine.vjp(&pick(&y, &seeds), &d, &pick(x, &wanted))
        });
        built.compact()
    });
    let dx = cond::call(home, pred, &operands, branches, here());
    for (&slot, dx) in wanted.iter().zip(dx.iter()) {
        gradients[slot + 1] = Gradient::Value(dx);
    }
    gradients
}

pub(super) fn cond_jvp(
    op: &Cond,
    x: &[Tensor],
    y: &[Tensor],
    tx: &[Option<Tensor>],
    engine: &dyn Differentiate,
) -> Vec<Option<Tensor>> {
    let mut tangents = vec![None; y.len()];
    let Some(home) = home_of(x) else { return tangents };
    let (pred, x) = (x[0], &x[1..]);
    let moved = places(tx[1..].iter().map(Option::is_some));
    let depends = |body: &Body, output: usize| moved.iter().any(|&idx| body.depends(idx, output));
    let outputs =
        places((0..y.len()).map(|output| depends(&op.then, output) || depends(&op.otherwise, output)));
    let operands: Vec<Tensor> = x.iter().copied().chain(tx[1..].iter().flatten().copied()).collect();
    let branches = [&op.then, &op.otherwise].map(|body| {
        let types = operands.iter().map(|operand| operand.ty());
        let built = draft(Some(home), here(), types, |own| {
            let (x, tx) = own.split_at(x.len());
            let y = body.replay(x, home);
            engine.jvp(&pick(&y, &outputs), &pick(x, &moved), tx)
        });
        built.compact()
    });
    let ty = cond::call(home, pred, &operands, branches, here());
    for (&output, ty) in outputs.iter().zip(ty.iter()) {
        tangents[output] = Some(ty);
    }
    tangents
}

/// Marks more places of `marked`, by `rule`, until it marks none.
fn close_under(marked: &mut [bool], rule: impl Fn(usize, &[bool]) -> bool) {
    while let Some(idx) = (0..marked.len()).find(|&idx| !marked[idx] && rule(idx, marked)) {
        marked[idx] = true;
    }
}

impl Scan {
    /// The carries that move when the operands `moving` do.
    fn moved_carries(&self, moving: &[bool]) -> Vec<bool> {
        let mut moved = moving[..self.n_carry].to_vec();
        close_under(&mut moved, |carry, moved| self.reaches(carry, moving, moved));
        moved
    }

    /// Whether output `output` of the body moves with the carries `moved` and the operands `moving`.
    fn reaches(&self, output: usize, moving: &[bool], moved: &[bool]) -> bool {
        (0..moving.len()).any(|slot| {
            let moves = if slot < self.n_carry { moved[slot] } else { moving[slot] };
            moves && self.body.depends(slot + 1, output)
        })
    }

    /// The carries on which the outputs `seeded` depend.
    fn seeded_carries(&self, seeded: &[bool]) -> Vec<bool> {
        let mut matters = seeded[..self.n_carry].to_vec();
        close_under(&mut matters, |carry, matters| self.matters(carry, seeded, matters));
        matters
    }

    /// Whether operand `slot` of one iteration bears on the outputs `seeded` or the carries `matters`.
    fn matters(&self, slot: usize, seeded: &[bool], matters: &[bool]) -> bool {
        (0..seeded.len()).any(|output| {
            let counts = if output < self.n_carry { matters[output] } else { seeded[output] };
            counts && self.body.depends(slot + 1, output)
        })
    }

    fn as_loop(&self) -> Loop {
        Loop { n_carry: self.n_carry, n_xs: self.n_xs, length: self.length, reverse: self.reverse }
    }
}

pub(super) fn scan_bprop(op: &Scan, at: &Bprop) -> Vec<Gradient> {
    let mut gradients = vec![Gradient::Zero(NO_PATH); at.x.len()];
    let Some(home) = home_of(at.x) else { return gradients };
    let (n_carry, n_xs) = (op.n_carry, op.n_xs);
    let seeded: Vec<bool> = at.d.iter().map(Option::is_some).collect();
    let matters = op.seeded_carries(&seeded);
    let moved = op.moved_carries(at.wanted);
    // The carries that have a cotangent, the ys that start one, the xs and constants that want one.
    let active = places((0..n_carry).map(|carry| matters[carry] && moved[carry]));
    let ys = places((0..at.d.len()).map(|output| output >= n_carry && seeded[output]));
    let wants = |slot: usize| at.wanted[slot] && op.matters(slot, &seeded, &matters);
    let wanted_xs = places((0..n_carry + n_xs).map(|slot| slot >= n_carry && wants(slot)));
    let wanted_constants = places((0..at.x.len()).map(|slot| slot >= n_carry + n_xs && wants(slot)));

    let (carries, xs) = (&at.x[..n_carry], &at.x[n_carry..n_carry + n_xs]);
    let constants = &at.x[n_carry + n_xs..];
    let dys: Vec<Tensor> = ys.iter().filter_map(|&output| at.d[output]).collect();
    let zeros = |slot: &usize| at.x[*slot].zeros_like();
    let dc_last = active.iter().map(|&carry| at.d_or_zeros(carry));
    let sums: Vec<Tensor> = dc_last.chain(wanted_constants.iter().map(zeros)).collect();

    // Backward: carries dc and Σdw; xs: the xs, every cₖ, the dys; constants: the loop's own.
    let entering = carries.iter().map(|carry| carry.ty().and_then(|ty| stacked(ty, op.length).ok()));
    let n_slices = n_xs + n_carry + dys.len();
    let backward = Loop { n_carry: sums.len(), n_xs: n_slices, length: op.length, reverse: !op.reverse };
    let types: Vec<Option<Type>> = (sums.iter().chain(xs).map(|operand| operand.ty()))
        .chain(entering)
        .chain(dys.iter().chain(constants).map(|operand| operand.ty()))
        .collect();
    let mut reversed = backward.draft_of_types(Some(home), here(), &types, |own| {
        let (k, own) = (own[0], &own[1..]);
        let (sums, own) = own.split_at(sums.len());
        let (xs, own) = own.split_at(n_xs);
        let (carries, own) = own.split_at(n_carry);
        let (dys, constants) = own.split_at(dys.len());
        let x: Vec<Tensor> = [carries, xs, constants].concat();
        let y = op.body.replay(&[&[k], &x[..]].concat(), home);
        let (dc, sums) = sums.split_at(active.len());
        let d: Vec<Option<Tensor>> = dc.iter().chain(dys).copied().map(Some).collect();
        let outputs = [pick(&y, &active), pick(&y, &ys)].concat();
        let targets = [pick(&x, &active), pick(&x, &wanted_constants), pick(&x, &wanted_xs)].concat();
        let mut dx = at.engine.vjp(&outputs, &d, &targets);
        for (dw, &sum) in dx[active.len()..].iter_mut().zip(sums) {
            *dw = sum + *dw;
        }
        dx
    });

    // Of the cₖ only those that the backward loop reads are kept.
    let used = reversed.used();
    let first = 1 + sums.len() + n_xs;
    let kept = places((0..n_carry).map(|carry| used[first + carry]));
    let keep: Vec<bool> =
        (0..used.len()).map(|idx| !(first..first + n_carry).contains(&idx) || used[idx]).collect();
    reversed.retain(&keep);
    let entering: Vec<Tensor> = if kept.is_empty() {
        Vec::new()
    } else {
        let forward = op.as_loop().draft(Some(home), here(), at.x, |own| {
            let mut outputs = op.body.replay(own, home);
            outputs.truncate(n_carry);
            outputs.extend(kept.iter().map(|&carry| own[1 + carry]));
            outputs
        });
        let outputs = op.as_loop().call(home, at.x, forward.compact(), here());
        outputs.iter().skip(n_carry).collect()
    };
    let operands = [&sums[..], xs, &entering[..], &dys[..], constants].concat();
    let backward = Loop { n_xs: n_xs + kept.len() + dys.len(), ..backward };
    let dx = backward.call(home, &operands, reversed.compact(), here());
    let slots = active.iter().chain(&wanted_constants).chain(&wanted_xs);
    for (&slot, dx) in slots.zip(dx.iter()) {
        gradients[slot] = Gradient::Value(dx);
    }
    gradients
}

pub(super) fn scan_jvp(
    op: &Scan,
    x: &[Tensor],
    y: &[Tensor],
    tx: &[Option<Tensor>],
    engine: &dyn Differentiate,
) -> Vec<Option<Tensor>> {
    let mut tangents = vec![None; y.len()];
    let Some(home) = home_of(x) else { return tangents };
    let (n_carry, n_xs) = (op.n_carry, op.n_xs);
    let moving: Vec<bool> = tx.iter().map(Option::is_some).collect();
    let moved = op.moved_carries(&moving);
    let active = places(moved.iter().copied());
    let ys = places((0..y.len()).map(|output| output >= n_carry && op.reaches(output, &moving, &moved)));
    let in_xs = |slot: usize| (n_carry..n_carry + n_xs).contains(&slot);
    let t_xs = places((0..x.len()).map(|slot| in_xs(slot) && moving[slot]));
    let t_constants = places((0..x.len()).map(|slot| slot >= n_carry + n_xs && moving[slot]));
    let tangent = |slot: &usize| tx[*slot].unwrap_or_else(|| x[*slot].zeros_like());

    let (carries, xs, constants) = (&x[..n_carry], &x[n_carry..n_carry + n_xs], &x[n_carry + n_xs..]);
    let [tc, txs, tw] =
        [&active, &t_xs, &t_constants].map(|slots| slots.iter().map(tangent).collect::<Vec<_>>());
    let operands = [carries, &tc[..], xs, &txs[..], constants, &tw[..]].concat();
    let forward = Loop { n_carry: n_carry + tc.len(), n_xs: n_xs + txs.len(), ..op.as_loop() };
    let body = forward.draft(Some(home), here(), &operands, |own| {
        let (k, own) = (own[0], &own[1..]);
        let (carries, own) = own.split_at(n_carry);
        let (tc, own) = own.split_at(tc.len());
        let (xs, own) = own.split_at(n_xs);
        let (txs, own) = own.split_at(txs.len());
        let (constants, tw) = own.split_at(constants.len());
        let x: Vec<Tensor> = [carries, xs, constants].concat();
        let y = op.body.replay(&[&[k], &x[..]].concat(), home);
        let slots = [&active[..], &t_xs, &t_constants].concat();
        let outputs = [pick(&y, &active), pick(&y, &ys)].concat();
        let ty = engine.jvp(&outputs, &pick(&x, &slots), &[tc, txs, tw].concat());
        [&y[..n_carry], &ty[..]].concat()
    });
    let outputs: Vec<Tensor> = forward.call(home, &operands, body.compact(), here()).iter().collect();
    for (&output, &ty) in active.iter().chain(&ys).zip(&outputs[n_carry..]) {
        tangents[output] = Some(ty).filter(|&ty| is_float(ty));
    }
    tangents
}
