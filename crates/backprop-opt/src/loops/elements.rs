//! The elements that an access names over its loops, as far as they must be told apart.

use smallvec::SmallVec;

use super::Access;

/// first + Σ strideᵢ·nᵢ for 0 ≤ nᵢ < sizeᵢ. Strides are positive, the least first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    first: isize,
    loops: SmallVec<[(isize, usize); 6]>,
    /// Whether a loop of several iterations does not move it.
    repeats: bool,
}

impl Elements {
    /// `None` where a loop is empty. The access was verified: it stays inside a buffer.
    pub fn new(access: &Access, rows: &[usize], columns: &[usize]) -> Option<Elements> {
        let mut elements = Elements { first: access.offset, loops: SmallVec::new(), repeats: false };
        for (&stride, &size) in access.rows.iter().zip(rows).chain(access.columns.iter().zip(columns)) {
            match (stride, size) {
                (_, 0) => return None,
                (_, 1) => {}
                (0, _) => elements.repeats = true,
                _ => {
                    elements.first += stride.min(0) * (size as isize - 1);
                    elements.loops.push((stride.abs(), size));
                }
            }
        }
        elements.loops.sort_unstable();
        Some(elements)
    }

    /// Whether every iteration has an element of its own.
    pub fn is_injective(&self) -> bool {
        !self.repeats && self.moves_apart(0)
    }

    /// Whether iterations that differ in a loop that moves them differ by more than `reach`: each loop then steps
    /// over all that those inside it cover.
    pub fn moves_apart(&self, reach: isize) -> bool {
        let mut reach = reach;
        self.loops.iter().all(|&(stride, size)| {
            let is_over = stride > reach;
            reach += stride * (size as isize - 1);
            is_over
        })
    }

    /// Whether every loop of several iterations moves it.
    pub fn is_moved(&self) -> bool {
        !self.repeats
    }

    /// The number of elements, if it is injective but for loops that do not move it.
    pub fn count(&self) -> usize {
        self.loops.iter().map(|&(_, size)| size).product()
    }

    /// The least element and the greatest.
    pub fn range(&self) -> (isize, isize) {
        let reach: isize = self.loops.iter().map(|&(stride, size)| stride * (size as isize - 1)).sum();
        (self.first, self.first + reach)
    }

    /// Whether the two have no element in common, if that is plain: one ends before the other begins, or they lie
    /// side by side in each step of their outermost loops.
    pub fn is_apart(&self, other: &Elements) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        loop {
            let ((a_low, a_high), (b_low, b_high)) = (a.range(), b.range());
            if a_high < b_low || b_high < a_low {
                return true;
            }
            let (Some((stride, _)), Some((other_stride, _))) = (a.loops.pop(), b.loops.pop()) else {
                return false;
            };
            let ((a_low, a_high), (b_low, b_high)) = (a.range(), b.range());
            if stride != other_stride || a_high.max(b_high) - a_low.min(b_low) >= stride {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loops::Place;

    fn elements(offset: isize, loops: &[(isize, usize)]) -> Elements {
        let access = Access {
            place: Place::Buffer(0),
            offset,
            rows: loops.iter().map(|&(stride, _)| stride).collect(),
            columns: Default::default(),
        };
        let rows: Vec<usize> = loops.iter().map(|&(_, size)| size).collect();
        Elements::new(&access, &rows, &[]).expect("no loop is empty")
    }

    #[test]
    fn loops_that_step_over_those_inside_them_never_meet() {
        let is_injective = |loops: &[(isize, usize)]| elements(0, loops).is_injective();
        assert!(is_injective(&[]) && is_injective(&[(7, 5), (1, 7)]) && is_injective(&[(1, 7), (-7, 5)]));
        assert!(is_injective(&[(6, 5), (2, 3)]), "gaps are nobody's");
        assert!(is_injective(&[(3, 2), (0, 1), (1, 3)]), "a loop of one iteration need not move");
        assert!(!is_injective(&[(6, 5), (1, 7)]), "rows of 7, 6 apart");
        assert!(!is_injective(&[(0, 2), (1, 3)]), "written twice");
    }

    #[test]
    fn parts_side_by_side_are_apart() {
        let (left, right) = (elements(0, &[(7, 5), (1, 3)]), elements(3, &[(7, 5), (1, 4)]));
        assert!(left.is_apart(&right) && right.is_apart(&left));
        assert!(!left.is_apart(&elements(2, &[(7, 5), (1, 4)])), "column 2 is of both");
        assert!(!left.is_apart(&elements(3, &[(7, 5), (1, 5)])), "the last column is the next row's first");
        assert!(elements(0, &[(1, 3)]).is_apart(&elements(3, &[])));
        assert!(!elements(0, &[]).is_apart(&elements(0, &[])));
    }

    #[test]
    fn an_empty_loop_has_no_elements() {
        let access = Access {
            place: Place::Buffer(0),
            offset: 0,
            rows: [1].into_iter().collect(),
            columns: Default::default(),
        };
        assert_eq!(Elements::new(&access, &[0], &[]), None);
    }
}
