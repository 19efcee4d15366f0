//! Where the accesses of scalar code lie while loops run.

use backprop_opt::loops::{Access, Home, Place, Program};
use smallvec::SmallVec;

/// The loop that blocks run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// The last column loop of each stage.
    Columns,
    /// The last row loop: all stages run on a block of rows, a column at a time.
    Rows,
}

/// What an access counts from.
#[derive(Clone, Copy, Debug)]
enum Base {
    Buffer(u32),
    /// A local, this many bytes into the scratch.
    Scratch(usize),
    /// The products.
    Product,
    /// Nothing: the access is a number.
    Number,
}

/// An access whose strides are in bytes: those of the loops that run one by one (row loops, then column
/// loops) and that of the loop that blocks run along.
#[derive(Clone, Debug)]
pub(super) struct Moving {
    base: Base,
    offset: isize,
    loops: SmallVec<[isize; 4]>,
    /// How many bytes apart neighbours along the blocks are.
    pub lane: isize,
    /// How far on the first element of the blocks' loop moves it: as far, but for locals along rows, which
    /// every block uses anew.
    first: isize,
}

/// What the pointers of a running kernel count from.
pub(super) struct Frame<'a> {
    pub bases: &'a [*mut u8],
    pub scratch: *mut u8,
    pub product: *mut u8,
    /// Where the loops that run one by one stand: rows, then columns.
    pub at: SmallVec<[usize; 16]>,
}

/// How the accesses of a stage become [`Moving`].
pub(super) struct Layout<'a> {
    pub program: &'a Program,
    pub along: Along,
    /// For each local, where it starts in the scratch, in bytes.
    pub locals: &'a [usize],
    /// The elements in a block.
    pub width: usize,
    /// In a contraction: which loop is the last row loop, and how many bytes apart rows of products are.
    pub product_strides: Option<(usize, isize)>,
}

impl Layout<'_> {
    /// An access to elements of `size` bytes.
    pub fn moving(&self, access: &Access, size: usize) -> Moving {
        let base = match access.place {
            Place::Buffer(buffer) => Base::Buffer(buffer),
            Place::Local(local) => Base::Scratch(self.locals[local as usize]),
        };
        self.scaled(access, base, size as isize)
    }

    /// An access that is a number.
    pub fn number(&self, access: &Access) -> Moving {
        self.scaled(access, Base::Number, 1)
    }

    /// The products, element (row, column) of the last row loop and the columns.
    pub fn product(&self, size: usize) -> Moving {
        let (last, row_stride) = self.product_strides.unwrap_or_default();
        let (one_by_one, lane) = match self.along {
            Along::Columns => (row_stride, size as isize),
            Along::Rows => (size as isize, row_stride),
        };
        let mut loops = SmallVec::from_elem(0, last);
        loops.push(one_by_one);
        Moving { base: Base::Product, offset: 0, loops, lane, first: lane }
    }

    /// How many bytes apart the elements of a place are.
    pub fn unit(&self, place: Place, size: usize) -> isize {
        // Along rows, each element of a local is a block: one for each row.
        let is_spread = self.along == Along::Rows && matches!(place, Place::Local(_));
        (if is_spread { size * self.width } else { size }) as isize
    }

    fn scaled(&self, access: &Access, base: Base, size: isize) -> Moving {
        let (rows, columns) = (&access.rows[..], &access.columns[..]);
        let (one_by_one, lane): (SmallVec<[isize; 4]>, isize) = match self.along {
            Along::Columns => {
                let (lane, others) = columns.split_last().map_or((0, columns), |(&lane, rest)| (lane, rest));
                (rows.iter().chain(others).copied().collect(), lane)
            }
            Along::Rows => {
                let (&lane, others) = rows.split_last().expect("there is a row loop to run along");
                (others.iter().chain(columns).copied().collect(), lane)
            }
        };
        let is_local = matches!(base, Base::Scratch(_));
        let unit = if is_local { self.unit(access.place, size as usize) } else { size };
        let (lane, first) = match is_local && self.along == Along::Rows {
            true => (size, 0),
            false => (lane * size, lane * size),
        };
        let loops = one_by_one.iter().map(|&stride| stride * unit).collect();
        Moving { base, offset: access.offset * unit, loops, lane, first }
    }
}

impl Moving {
    /// Whether no loop moves it.
    pub fn is_fixed(&self) -> bool {
        self.lane == 0 && self.loops.iter().all(|&stride| stride == 0)
    }

    /// Where it points, or the number it is, for element `first` of the blocks' loop.
    #[inline]
    pub fn pointer(&self, frame: &Frame, first: usize) -> *mut u8 {
        let steps = self.loops.iter().zip(&frame.at).map(|(&stride, &at)| stride.wrapping_mul(at as isize));
        let offset = steps.fold(self.offset, isize::wrapping_add);
        let offset = offset.wrapping_add(self.first.wrapping_mul(first as isize));
        match self.base {
            Base::Buffer(buffer) => frame.bases[buffer as usize].wrapping_offset(offset),
            Base::Scratch(start) => frame.scratch.wrapping_add(start).wrapping_offset(offset),
            Base::Product => frame.product.wrapping_offset(offset),
            Base::Number => std::ptr::without_provenance_mut(offset as usize),
        }
    }
}

/// Whether two places may hold the same bytes.
pub(super) fn may_meet(program: &Program, a: Place, b: Place) -> bool {
    let (Place::Buffer(first), Place::Buffer(second)) = (a, b) else { return a == b };
    if first == second {
        return true;
    }
    let (first, second) = (program.buffer(first), program.buffer(second));
    match (&first.home, &second.home) {
        (&Home::Arena(a), &Home::Arena(b)) => a < b + second.bytes() && b < a + first.bytes(),
        _ => false,
    }
}
