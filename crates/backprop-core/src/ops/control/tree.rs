//! Trees of tensors: what goes into control flow and comes out of it.

use crate::tensor::Tensor;

/// A tensor, or a tuple, array or vector of trees.
///
/// ```
/// use backprop_core::{Graph, Tree};
/// let g = Graph::new();
/// let (a, b) = (g.input("a", "f32[]"), g.input("b", "f32[3]"));
/// assert_eq!((a, [b, b]).leaves().len(), 3);
/// ```
pub trait Tree: Sized {
    /// Appends the tensors, in order.
    fn collect(&self, leaves: &mut Vec<Tensor>);

    /// The same structure with other tensors, taken in order from `leaves`.
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Self;

    /// The tensors, in order.
    fn leaves(&self) -> Vec<Tensor> {
        let mut leaves = Vec::new();
        self.collect(&mut leaves);
        leaves
    }
}

impl Tree for Tensor {
    fn collect(&self, leaves: &mut Vec<Tensor>) {
        leaves.push(*self);
    }
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Tensor {
        leaves.next().expect("there are as many leaves as the structure has")
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn collect(&self, leaves: &mut Vec<Tensor>) {
        self.iter().for_each(|tree| tree.collect(leaves));
    }
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> [T; N] {
        std::array::from_fn(|idx| self[idx].rebuild(leaves))
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn collect(&self, leaves: &mut Vec<Tensor>) {
        self.iter().for_each(|tree| tree.collect(leaves));
    }
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Vec<T> {
        self.iter().map(|tree| tree.rebuild(leaves)).collect()
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
        impl<$($name: Tree),*> Tree for ($($name,)*) {
            fn collect(&self, leaves: &mut Vec<Tensor>) {
                let ($($name,)*) = self;
                $($name.collect(leaves);)*
            }
            fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Self {
                let ($($name,)*) = self;
                ($($name.rebuild(leaves),)*)
            }
        }
    )*};
}

tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
