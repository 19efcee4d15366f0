//! Contractions: products of matrices, of which some are better sums.

use backprop_core::array::Sizes;
use backprop_core::ops::{Binary, Contract};
use backprop_core::{NodeId, Records, Type};
use smallvec::{SmallVec, smallvec};

use super::item::{ItemKind, Items, Operand, Point, Product, Seen, Source};
use super::read::sizes_of;
use super::view::{View, row_major};
use crate::loops::Fold;

/// Of what form a contraction is computed.
enum Form {
    /// As a contraction of the loop IR: each element of a factor is used many times.
    Products,
    /// A matrix and a vector: each element of the matrix is used once, so vectors go along k.
    Sums,
}

impl Items {
    pub(super) fn contract(&mut self, records: &Records, id: NodeId, op: &Contract, ty: Type) {
        let node = records.node(id);
        let [a, b] =
            [node.inputs[0], node.inputs[1]].map(|value| self.views.get(self.seen(value).view).clone());
        let axes = [
            (op.lhs_batch.to_vec(), op.lhs_free(a.sizes.len()), op.lhs_contract.to_vec()),
            (op.rhs_batch.to_vec(), op.rhs_free(b.sizes.len()), op.rhs_contract.to_vec()),
        ];
        let count = |view: &View, list: &[usize]| list.iter().filter(|&&axis| view.sizes[axis] != 1).count();
        let product = Product {
            n_batch: count(&a, &axes[0].0),
            n_left: count(&a, &axes[0].1),
            k: axes[0].2.iter().map(|&axis| a.sizes[axis]).product(),
            a_stride: 0,
            b_stride: 0,
        };
        let mut strides = [0; 2];
        let mut operands = SmallVec::new();
        for (which, (batch, free, contract)) in axes.iter().enumerate() {
            let value = node.inputs[which];
            let mut seen = self.seen(value);
            // Rows, columns and k must each be one stride apart; and only numbers in a buffer can be factors.
            let fits = |view: &View| {
                let one = |list: &[usize]| view.picked(list).collapsed();
                Some((one(free)?, one(contract)?))
            };
            let is_stored = !matches!(self.datum(seen.datum).source, Source::Literal(_) | Source::Count);
            if !is_stored || fits(self.views.get(seen.view)).is_none() {
                // As [batch, free, contract].
                let view = self.views.get(seen.view);
                let order: Vec<usize> = batch.iter().chain(free).chain(contract).copied().collect();
                let turned = view.transposed(order.iter().copied());
                let sizes = turned.sizes.clone();
                let turned = turned.squeezed();
                let operand = Operand { datum: seen.datum, view: self.views.id(turned) };
                let copy =
                    self.make(ItemKind::Point(Point::Copy), &sizes, smallvec![operand], ty.dtype, value, id);
                let mut back = View::one(&self.views.get(seen.view).sizes.clone());
                for (&axis, &stride) in order.iter().zip(&row_major(&sizes)) {
                    back.strides[axis] = stride;
                }
                seen = Seen { datum: copy, view: self.views.id(back) };
            }
            let view = self.views.get(seen.view);
            strides[which] = fits(view).expect("a copy is laid out for it").1;
            let kept: Vec<usize> = batch.iter().chain(free).copied().collect();
            let view = view.picked(&kept).squeezed();
            operands.push(Operand { datum: seen.datum, view: self.views.id(view) });
        }
        let product = Product { a_stride: strides[0], b_stride: strides[1], ..product };
        let datum = match self.form(&product, &operands) {
            Form::Products => {
                self.make(ItemKind::Contract(product), sizes_of(ty), operands, ty.dtype, node.first, id)
            }
            Form::Sums => {
                let (factors, sizes) = self.beside(&product, &operands);
                let kind = ItemKind::Point(Point::Binary(Binary::Mul));
                let datum = self.make(kind, &sizes, factors, ty.dtype, node.first, id);
                let products = Operand { datum, view: self.views.whole(&sizes) };
                let kind = ItemKind::Reduce(Fold::Sum, 1 << (sizes.len() - 1));
                let sum = self.make(kind, &sizes, smallvec![products], ty.dtype, node.first, id);
                self.data[sum as usize].len = ty.shape.n_elements().unwrap_or(0);
                sum
            }
        };
        self.see(node.first, datum, View::whole(sizes_of(ty)));
    }

    /// Of what form a contraction is computed.
    fn form(&self, product: &Product, operands: &[Operand]) -> Form {
        let n_free = |operand: &Operand| self.views.get(operand.view).sizes.len() - product.n_batch;
        let [left, right] = [n_free(&operands[0]), n_free(&operands[1])];
        // The matrix is read once: along k it must lie as vectors are loaded.
        let runs = match (left, right) {
            (0, 0) => product.a_stride == 1 && product.b_stride == 1,
            (0, _) => product.b_stride == 1,
            (_, 0) => product.a_stride == 1,
            _ => false,
        };
        match product.k {
            0 | 1 => Form::Products,
            _ if runs => Form::Sums,
            _ => Form::Products,
        }
    }

    /// Both factors over the loops of the result, and after them the one over k; the sizes of the loops.
    fn beside(&mut self, product: &Product, operands: &[Operand]) -> (SmallVec<[Operand; 3]>, Sizes) {
        let n = product.n_batch;
        let [a, b] = [0, 1].map(|at| self.views.get(operands[at].view).clone());
        let sizes: Sizes = a.sizes.iter().chain(&b.sizes[n..]).copied().chain([product.k]).collect();
        let (left, right) = (a.sizes.len() - n, b.sizes.len() - n);
        let none = |n: usize| std::iter::repeat_n(0, n);
        let of_a = a.strides.iter().copied().chain(none(right)).chain([product.a_stride]);
        let own = b.strides[..n].iter().copied().chain(none(left)).chain(b.strides[n..].iter().copied());
        let of_b = own.chain([product.b_stride]);
        let views = [
            View { offset: a.offset, sizes: sizes.clone(), strides: of_a.collect() },
            View { offset: b.offset, sizes: sizes.clone(), strides: of_b.collect() },
        ];
        let pairs = operands.iter().zip(views);
        let factors =
            pairs.map(|(operand, view)| Operand { datum: operand.datum, view: self.views.id(view) });
        (factors.collect(), sizes)
    }
}

impl View {
    /// Some of the axes.
    fn picked(&self, axes: &[usize]) -> View {
        self.transposed(axes.iter().copied())
    }

    fn collapsed(&self) -> Option<isize> {
        super::view::collapsed(&self.sizes, &self.strides)
    }
}
