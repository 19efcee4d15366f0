//! Views: how the elements of a value lie among those of a datum, as numpy's strides say it.

use std::collections::HashMap;

use backprop_core::array::{Sizes, strides};
use smallvec::SmallVec;

use crate::loops::Strides;

/// For each axis a size and a stride; element (i, j, ..) is element offset + i·stride₀ + j·stride₁ + ..
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The element of index 0.
    pub offset: isize,
    /// The sizes of the axes.
    pub sizes: Sizes,
    /// How many elements apart neighbours are along each axis.
    pub strides: Strides,
}

/// A view's number among those that are known; equal views have one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewId(u32);

/// The views of a program, each kept once.
#[derive(Debug, Default)]
pub struct Views {
    views: Vec<View>,
    known: HashMap<View, ViewId>,
}

impl Views {
    /// The number of a view.
    pub fn id(&mut self, view: View) -> ViewId {
        *self.known.entry(view).or_insert_with_key(|view| {
            self.views.push(view.clone());
            ViewId(self.views.len() as u32 - 1)
        })
    }

    /// The view of a number.
    pub fn get(&self, id: ViewId) -> &View {
        &self.views[id.0 as usize]
    }

    /// The number of the row-major view of these sizes.
    pub fn whole(&mut self, sizes: &[usize]) -> ViewId {
        self.id(View::whole(sizes))
    }
}

/// The row-major strides of these sizes.
pub fn row_major(sizes: &[usize]) -> Strides {
    strides(sizes).iter().map(|&stride| stride as isize).collect()
}

/// Sizes without those that are 1.
pub fn squeezed(sizes: &[usize]) -> Sizes {
    sizes.iter().copied().filter(|&size| size != 1).collect()
}

impl View {
    /// All elements in row-major order.
    pub fn whole(sizes: &[usize]) -> View {
        View { offset: 0, sizes: sizes.into(), strides: row_major(sizes) }
    }

    /// One element for every index.
    pub fn one(sizes: &[usize]) -> View {
        View { offset: 0, sizes: sizes.into(), strides: SmallVec::from_elem(0, sizes.len()) }
    }

    /// Without the axes of size 1.
    pub fn squeezed(&self) -> View {
        let kept = |&axis: &usize| self.sizes[axis] != 1;
        let axes = || (0..self.sizes.len()).filter(kept);
        View {
            offset: self.offset,
            sizes: axes().map(|axis| self.sizes[axis]).collect(),
            strides: axes().map(|axis| self.strides[axis]).collect(),
        }
    }

    /// Whether it names all `len` elements in row-major order.
    pub fn is_whole(&self, len: usize) -> bool {
        let own = self.squeezed();
        own.offset == 0
            && own.sizes.iter().product::<usize>() == len
            && (own.strides == row_major(&own.sizes) || len == 0)
    }

    /// Axis i of the result is axis `perm[i]`.
    pub fn transposed(&self, perm: impl Iterator<Item = usize>) -> View {
        let (sizes, strides) = perm.map(|axis| (self.sizes[axis], self.strides[axis])).unzip();
        View { offset: self.offset, sizes, strides }
    }

    /// Repeated along new leading axes, and along axes of size 1.
    pub fn broadcast(&self, sizes: &[usize]) -> View {
        let new = sizes.len() - self.sizes.len();
        let stride = |axis: usize| match axis.checked_sub(new) {
            Some(own) if self.sizes[own] == sizes[axis] => self.strides[own],
            _ => 0,
        };
        View { offset: self.offset, sizes: sizes.into(), strides: (0..sizes.len()).map(stride).collect() }
    }

    /// Every `step`-th element from `start` on, as many as `sizes` says.
    pub fn sliced(&self, start: &[usize], step: &[usize], sizes: &[usize]) -> View {
        let first: isize =
            self.strides.iter().zip(start).map(|(stride, &start)| stride * start as isize).sum();
        // Of no elements none is read, and a start at the end would name one that is not there.
        let offset = if sizes.contains(&0) { 0 } else { self.offset + first };
        let strides = self.strides.iter().zip(step).map(|(stride, &step)| stride * step as isize).collect();
        View { offset, sizes: sizes.into(), strides }
    }

    /// The same elements in the same order under other sizes; `None` where no strides say so.
    pub fn reshaped(&self, sizes: &[usize]) -> Option<View> {
        if sizes.contains(&0) {
            return Some(View::one(sizes));
        }
        let own = self.squeezed();
        let mut strides = Strides::from_elem(0, sizes.len());
        let (mut old, mut new) = (0, 0);
        while new < sizes.len() {
            if sizes[new] == 1 {
                new += 1;
                continue;
            }
            // The shortest runs of axes on both sides with as many elements.
            let (old_start, new_start) = (old, new);
            let (mut n_old, mut n_new) = (own.sizes[old], sizes[new]);
            (old, new) = (old + 1, new + 1);
            while n_old != n_new {
                if n_old < n_new {
                    n_old *= own.sizes[old];
                    old += 1;
                } else {
                    n_new *= sizes[new];
                    new += 1;
                }
            }
            let inner = collapsed(&own.sizes[old_start..old], &own.strides[old_start..old])?;
            let mut stride = inner;
            for axis in (new_start..new).rev() {
                strides[axis] = if sizes[axis] == 1 { 0 } else { stride };
                stride *= sizes[axis] as isize;
            }
        }
        Some(View { offset: self.offset, sizes: sizes.into(), strides })
    }

    /// What this view of a datum is of another, of which the datum's elements, row-major over
    /// `inner.sizes`, are the view `inner`. `None` where no strides say so.
    pub fn through(&self, inner: &View) -> Option<View> {
        let whole = row_major(&inner.sizes);
        if self.offset != 0 {
            return None;
        }
        let stride = |(&stride, &size): (&isize, &usize)| match stride {
            0 => Some(0),
            _ => {
                let axis = whole.iter().position(|&own| own == stride)?;
                (inner.sizes[axis] == size).then(|| inner.strides[axis])
            }
        };
        let strides = self.strides.iter().zip(&self.sizes).map(stride).collect::<Option<Strides>>()?;
        Some(View { offset: inner.offset, sizes: self.sizes.clone(), strides })
    }

    /// What a view of a row-major matrix is of the same matrix column by column; `None` where no strides say so.
    pub fn turned(&self, n_rows: usize, n_columns: usize) -> Option<View> {
        let (width, height) = (n_columns as isize, n_rows as isize);
        if width == 0 {
            return None;
        }
        // The last column that is named; an axis must not run from one row into the next.
        let mut last = self.offset.rem_euclid(width);
        let stride = |(&stride, &size): (&isize, &usize)| {
            if stride % width == 0 || size <= 1 {
                return Some(stride / width);
            }
            last += stride * (size as isize - 1);
            (stride > 0 && last < width).then_some(stride * height)
        };
        let strides = self.strides.iter().zip(&self.sizes).map(stride).collect::<Option<Strides>>()?;
        let offset = self.offset.div_euclid(width) + self.offset.rem_euclid(width) * height;
        Some(View { offset, sizes: self.sizes.clone(), strides })
    }
}

/// The stride of the one axis that adjacent axes make together, if they do.
pub fn collapsed(sizes: &[usize], strides: &[isize]) -> Option<isize> {
    let mut axes = sizes.iter().zip(strides).filter(|(size, _)| **size != 1).rev();
    let Some((&size, &stride)) = axes.next() else { return Some(0) };
    let mut reach = stride * size as isize;
    for (&size, &outer) in axes {
        if outer != reach {
            return None;
        }
        reach *= size as isize;
    }
    Some(stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: isize, sizes: &[usize], strides: &[isize]) -> View {
        View { offset, sizes: sizes.into(), strides: strides.into() }
    }

    #[test]
    fn a_reshape_is_a_view_where_strides_say_so() {
        let whole = View::whole(&[2, 3, 5]);
        assert_eq!(whole.reshaped(&[6, 1, 5]), Some(view(0, &[6, 1, 5], &[5, 0, 1])));
        assert_eq!(whole.reshaped(&[30]), Some(view(0, &[30], &[1])));
        let turned = whole.transposed([1, 0, 2].into_iter());
        assert_eq!(turned.reshaped(&[6, 5]), None);
        assert_eq!(turned.reshaped(&[3, 10]), None);
        assert_eq!(turned.reshaped(&[3, 2, 5, 1]), Some(view(0, &[3, 2, 5, 1], &[5, 15, 1, 0])));
        let row = View::whole(&[3]).broadcast(&[2, 3]);
        assert_eq!(row.reshaped(&[6]), None);
        assert_eq!(View::one(&[2, 3]).reshaped(&[6]), Some(view(0, &[6], &[0])));
        assert_eq!(View::whole(&[]).reshaped(&[1, 1]), Some(view(0, &[1, 1], &[0, 0])));
        assert_eq!(View::whole(&[0, 3]).reshaped(&[5, 0]), Some(View::one(&[5, 0])));
    }

    #[test]
    fn slices_move_the_start_and_stretch_the_strides() {
        let part = View::whole(&[5, 7]).sliced(&[1, 2], &[2, 3], &[2, 2]);
        assert_eq!(part, view(9, &[2, 2], &[14, 3]));
        assert_eq!(View::whole(&[5]).sliced(&[5], &[1], &[0]), view(0, &[0], &[1]));
    }

    #[test]
    fn a_view_of_a_matrix_is_one_of_its_transpose_if_no_axis_runs_from_row_to_row() {
        let whole = View::whole(&[3, 5]);
        assert_eq!(whole.turned(3, 5), Some(view(0, &[3, 5], &[1, 3])));
        assert_eq!(whole.reshaped(&[15]).and_then(|view| view.turned(3, 5)), None);
        // Every other row, from column 2 on, backwards along rows.
        assert_eq!(view(12, &[2, 3], &[-10, 1]).turned(3, 5), Some(view(8, &[2, 3], &[-2, 3])));
        assert_eq!(view(12, &[2, 4], &[-10, 1]).turned(3, 5), None);
        assert_eq!(view(3, &[2], &[-1]).turned(3, 5), None);
        assert_eq!(view(0, &[3, 0], &[0, 1]).turned(3, 0), None);
        assert_eq!(View::one(&[7]).turned(3, 5), Some(View::one(&[7])));
        assert_eq!(View::whole(&[]).turned(1, 1), Some(View::whole(&[])));
        assert_eq!(view(0, &[0, 5], &[5, 1]).turned(3, 5), Some(view(0, &[0, 5], &[1, 3])));
    }

    #[test]
    fn a_view_is_seen_through_another_axis_by_axis() {
        // b of [3] repeated to [2, 3], seen transposed.
        let inner = View::whole(&[3]).broadcast(&[2, 3]);
        let outer = View::whole(&[2, 3]).transposed([1, 0].into_iter());
        assert_eq!(outer.through(&inner), Some(view(0, &[3, 2], &[1, 0])));
        assert_eq!(View::one(&[7]).through(&View::whole(&[])), Some(View::one(&[7])));
        assert_eq!(View::whole(&[6]).through(&View::whole(&[2, 3])), None);
    }
}
