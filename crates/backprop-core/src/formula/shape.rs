//! Ops that sum, move or multiply along axes, and what is not written because it only spreads.

use super::algebra::{Expr, Id};
use super::read::{Read, Reader};
use super::text::subscript;
use crate::ops::{Axes, Contract};
use crate::types::{Dim, Shape, Type};

impl Reader<'_> {
    pub(super) fn sum(&mut self, (x, ty): (Read, Type), axes: Axes) -> Read {
        let spread = left(x.spread, axes, ty.shape.rank());
        let mut expr = x.expr;
        let mut scale = self.algebra.number(1.0);
        for axis in axes.iter().filter(|&axis| has(x.spread, axis)) {
            let size = self.dim(ty.shape[axis]);
            scale = self.algebra.mul(scale, size);
        }
        if !axes.iter().all(|axis| has(x.spread, axis)) {
            let (scalars, rest) = self.algebra.split_scalars(expr);
            scale = self.algebra.mul(scalars, scale);
            let last = ty.shape.rank() - 1;
            let is_onehot = matches!(&self.algebra.exprs[rest], Expr::Call { name, .. } if name == "onehot");
            if is_onehot && axes.to_vec() == [last] {
                // One element of each row is 1.
                let spread = all(ty.shape.without(&[last]));
                return Read { expr: scale, spread };
            }
            let marks = marks(axes, x, ty.shape.rank());
            let is_scalar = spread == all(ty.shape.without(&axes.to_vec()));
            // Σ of Σ₁ is Σ.
            let rest = match &self.algebra.exprs[rest] {
                Expr::Call { name, args, .. } if is_scalar && name.starts_with('Σ') => args[0],
                _ => rest,
            };
            // Axes are counted in this shape, of which axes of size 1 are not to be seen in `rest`.
            let mark = if marks.is_empty() { String::new() } else { ty.shape.to_string() };
            expr = self.algebra.call(&format!("Σ{marks}"), &[rest], &mark, is_scalar);
        }
        Read { expr: self.algebra.mul(scale, expr), spread }
    }

    /// A reduction to which equal elements do not matter but in their number.
    pub(super) fn reduced(&mut self, name: &str, (x, ty): (Read, Type), axes: Axes) -> Read {
        let spread = left(x.spread, axes, ty.shape.rank());
        let is_scalar = spread == all(ty.shape.without(&axes.to_vec()));
        let is_last = axes.to_vec() == [ty.shape.rank().wrapping_sub(1)];
        // The last axis is the usual one.
        let marks = if is_last { String::new() } else { marks(axes, x, ty.shape.rank()) };
        let mark = format!("{axes:?} {}", ty.shape);
        let expr = self.algebra.call(&format!("{name}{marks}"), &[x.expr], &mark, is_scalar);
        Read { expr, spread }
    }

    pub(super) fn transpose(&mut self, (x, ty): (Read, Type), perm: Axes, shape: Shape) -> Option<Read> {
        let spread =
            perm.iter().enumerate().fold(0, |mask, (to, from)| mask | u8::from(has(x.spread, from)) << to);
        let rank = shape.rank();
        let varying: Vec<usize> = perm.iter().filter(|&axis| !has(x.spread, axis)).collect();
        let is_same = perm.iter().enumerate().all(|(to, from)| to == from);
        // One number, or a vector that was spread over a matrix.
        let is_less = varying.is_empty() || (varying.len() == 1 && lost(x, ty.shape) != 0);
        if is_same || is_less {
            return Some(Read { expr: x.expr, spread });
        }
        let swaps_last = rank >= 2
            && perm.iter().enumerate().all(|(to, from)| match to {
                to if to + 1 == rank => from == rank - 2,
                to if to + 2 == rank => from == rank - 1,
                to => to == from,
            });
        let has_all = lost(x, ty.shape) == 0;
        (swaps_last && has_all).then(|| Read { expr: self.algebra.transposed(x.expr), spread })
    }

    /// A contraction, where it is a product of (stacks of) matrices and vectors.
    pub(super) fn contract(
        &mut self,
        op: &Contract,
        operands: &[(Read, Type)],
        shape: Shape,
    ) -> Option<Read> {
        let [(a, ta), (b, tb)] = *operands else { return None };
        let n_batch = op.lhs_batch.len();
        let leading = |axes: Axes| axes.iter().enumerate().all(|(at, axis)| at == axis);
        let (ra, rb) = (ta.shape.rank() - n_batch, tb.shape.rank() - n_batch);
        if !leading(op.lhs_batch) || !leading(op.rhs_batch) || ra > 2 || rb > 2 || op.lhs_contract.len() > 1 {
            return None;
        }
        let is_scalar = ones(shape) == all(shape);
        let read = |expr| Some(Read { expr, spread: ones(shape) });
        if ra == 0 || rb == 0 {
            return if n_batch == 0 { read(self.algebra.mul(a.expr, b.expr)) } else { None };
        }
        let (left, right) = (self.matrix(a, ta.shape), self.matrix(b, tb.shape));
        if op.lhs_contract.is_empty() {
            let right = (ra == 1 && rb == 1).then(|| self.algebra.transposed(right))?;
            return read(self.algebra.matmul(left, right, is_scalar));
        }
        let (i, j) = (op.lhs_contract.get(0) - n_batch, op.rhs_contract.get(0) - n_batch);
        // A vector is a column: from the left it meets a matrix as Bᵀ·a.
        if ra == 1 && rb == 2 {
            let right = if j == 0 { self.algebra.transposed(right) } else { right };
            return read(self.algebra.matmul(right, left, is_scalar));
        }
        let left = if i + 1 == ra && ra == 2 { left } else { self.algebra.transposed(left) };
        let right = if j == 0 { right } else { self.algebra.transposed(right) };
        read(self.algebra.matmul(left, right, is_scalar))
    }

    /// An operand of a matrix product: what was spread over a whole matrix is a number times ones.
    pub(super) fn matrix(&mut self, x: Read, shape: Shape) -> Id {
        match lost(x, shape) {
            0 => x.expr,
            _ if x.spread == all(shape) => {
                let ones = self.algebra.ones();
                self.algebra.mul(x.expr, ones)
            }
            _ => self.algebra.call("repeat", &[x.expr], &shape.to_string(), false),
        }
    }
}

pub(super) fn ones(shape: Shape) -> u8 {
    (0..shape.rank()).filter(|&axis| shape[axis] == Dim::Size(1)).fold(0, |mask, axis| mask | 1 << axis)
}

pub(super) fn all(shape: Shape) -> u8 {
    (0..shape.rank()).fold(0, |mask, axis| mask | 1 << axis)
}

pub(super) fn has(mask: u8, axis: usize) -> bool {
    mask & (1 << axis) != 0
}

/// `₀₂` for the axes that are not spread, nothing where those are all that vary.
pub(super) fn marks(axes: Axes, read: Read, rank: usize) -> String {
    let varying = |axis: &usize| !has(read.spread, *axis);
    match (0..rank).filter(varying).all(|axis| axes.contains(axis)) {
        true => String::new(),
        false => axes.iter().filter(varying).map(subscript).collect(),
    }
}

/// The axes of more than one element along which the value was spread.
pub(super) fn lost(x: Read, shape: Shape) -> u8 {
    x.spread & !ones(shape)
}

/// The mask without the bits of `axes`, closed up.
pub(super) fn left(mask: u8, axes: Axes, rank: usize) -> u8 {
    let kept = (0..rank).filter(|&axis| !axes.contains(axis));
    kept.enumerate().fold(0, |left, (to, from)| left | u8::from(has(mask, from)) << to)
}

/// A broadcast is not written.
pub(super) fn spread_over((x, ty): (Read, Type), shape: Shape) -> Read {
    let lead = shape.rank() - ty.shape.rank();
    let is_new = |axis: usize| axis < lead || has(x.spread, axis - lead);
    let spread = (0..shape.rank()).filter(|&axis| is_new(axis)).fold(0, |mask, axis| mask | 1 << axis);
    Read { spread, ..x }
}

/// A reshape is not written where it adds or drops axes of size 1 only, or there is but one number.
pub(super) fn reshaped((x, ty): (Read, Type), shape: Shape) -> Option<Read> {
    if x.spread == all(ty.shape) {
        return Some(Read { spread: all(shape), ..x });
    }
    let long = |shape: Shape| (0..shape.rank()).filter(move |&axis| shape[axis] != Dim::Size(1));
    let same = long(ty.shape).map(|axis| ty.shape[axis]).eq(long(shape).map(|axis| shape[axis]));
    let moved = long(ty.shape).zip(long(shape)).filter(|&(from, _)| has(x.spread, from));
    same.then(|| Read { spread: moved.fold(ones(shape), |mask, (_, to)| mask | 1 << to), ..x })
}
