//! The innermost loops of a contraction: a tile of sums in registers, and packing for it.

use std::marker::PhantomData;

use backprop_core::DType;

use crate::isa::Isa;
use crate::portable::block::{Body, for_isa};
use crate::portable::table::with_width;

/// A tile's sums, over a part of k.
pub(super) struct Tile {
    /// The number of products.
    pub k: usize,
    /// For each k, the elements of a of the tile's rows.
    pub a: *const u8,
    /// For each k, the elements of b of the tile's columns.
    pub b: *const u8,
    /// Where the sums start; null for 0.
    pub from: *const u8,
    /// Where they go.
    pub to: *mut u8,
    /// Whether they are added there.
    pub adds: bool,
    /// How many elements apart rows are, in `from` and `to`.
    pub stride: usize,
}

/// A panel of a factor, packed.
pub(super) struct Panel {
    /// The first element.
    pub from: *const u8,
    /// How many bytes apart neighbours are along k.
    pub k_stride: isize,
    /// How many bytes apart neighbours are across the panel.
    pub stride: isize,
    /// The number of products.
    pub k: usize,
    /// The number of elements across, and with those that are padding.
    pub n: usize,
    pub padded: usize,
    /// Where it goes: for each k, `padded` elements.
    pub to: *mut u8,
}

/// Computes a tile: see its body.
pub(super) type RunTile = unsafe fn(&Tile);

/// The tile functions of a type, for each number of rows, and what fits them.
pub(super) struct Tiles {
    /// Rows of a tile and its function, most rows first.
    pub by_rows: Vec<(usize, RunTile)>,
    /// Columns of a tile.
    pub columns: usize,
    /// Packs a panel.
    pub pack: unsafe fn(&Panel),
}

impl Tiles {
    /// The tiles for results of `n` columns: where they are few, narrow ones.
    pub fn new(dtype: DType, isa: Isa, n: usize) -> Tiles {
        macro_rules! tiles {
            ($T:ident, $n:literal of $width:literal: $($rows:literal)*) => {(
                vec![$(($rows, for_isa::<Sums<$T, $rows, $width, $n>>(isa) as RunTile)),*],
                $n * $width,
            )};
        }
        // Sums fill half of the vector registers of AVX-512, three quarters of AVX2's sixteen.
        let (by_rows, columns) = match (dtype, isa) {
            (DType::F32, Isa::Avx512) if n > 16 => tiles!(f32, 2 of 16: 8 4 2 1),
            (DType::F32, Isa::Avx512) => tiles!(f32, 1 of 16: 8 4 2 1),
            (DType::F32, _) if n > 8 => tiles!(f32, 2 of 8: 6 4 2 1),
            (DType::F32, _) => tiles!(f32, 1 of 8: 6 4 2 1),
            (DType::F64, Isa::Avx512) if n > 8 => tiles!(f64, 2 of 8: 8 4 2 1),
            (DType::F64, Isa::Avx512) => tiles!(f64, 1 of 8: 8 4 2 1),
            (DType::F64, _) if n > 4 => tiles!(f64, 2 of 4: 6 4 2 1),
            (DType::F64, _) => tiles!(f64, 1 of 4: 6 4 2 1),
            (DType::I32, _) => tiles!(i32, 1 of 16: 4 1),
            (DType::I64, _) => tiles!(i64, 1 of 8: 4 1),
            (DType::U32, _) => tiles!(u32, 1 of 16: 4 1),
            (DType::U8 | DType::Bool, _) => tiles!(u8, 1 of 16: 4 1),
        };
        let pack = with_width!(dtype, |T| for_isa::<Pack<T>>(isa));
        Tiles { by_rows, columns, pack }
    }

    /// The rows of the largest tile.
    pub fn rows(&self) -> usize {
        self.by_rows[0].0
    }

    /// The tile for `rows` rows: the smallest that has them.
    pub fn of(&self, rows: usize) -> (usize, RunTile) {
        let fits = self.by_rows.iter().rev().find(|(n, _)| *n >= rows);
        *fits.unwrap_or(&self.by_rows[0])
    }
}

/// A number that products are summed of.
trait Term: Copy {
    const ZERO: Self;
    /// self·b + sum: of floats rounded once; integers wrap.
    fn fma(self, b: Self, sum: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}

macro_rules! terms {
    (floats $($F:ident)*; ints $($I:ident)*) => {
        $(impl Term for $F {
            const ZERO: $F = 0.0;
            #[inline(always)]
            fn fma(self, b: $F, sum: $F) -> $F {
                self.mul_add(b, sum)
            }
            #[inline(always)]
            fn plus(self, other: $F) -> $F {
                self + other
            }
        })*
        $(impl Term for $I {
            const ZERO: $I = 0;
            #[inline(always)]
            fn fma(self, b: $I, sum: $I) -> $I {
                self.wrapping_mul(b).wrapping_add(sum)
            }
            #[inline(always)]
            fn plus(self, other: $I) -> $I {
                self.wrapping_add(other)
            }
        })*
    };
}

terms!(floats f32 f64; ints i32 i64 u32 u8);

/// A tile of `ROWS` rows, each of `N` vectors (one or two) of `WIDTH` elements.
struct Sums<T, const ROWS: usize, const WIDTH: usize, const N: usize>(PhantomData<T>);
struct Pack<T>(PhantomData<T>);

/// sums + a·b of a row. The vectors are spelled out: in a loop over them, the compiler would leave the sums
/// in memory.
#[inline(always)]
fn step<T: Term, const WIDTH: usize, const N: usize>(sums: &mut [[T; WIDTH]; N], a: T, b: &[[T; WIDTH]; N]) {
    macro_rules! vector {
        ($n:literal) => {
            if N > $n {
                for i in 0..WIDTH {
                    sums[$n][i] = a.fma(b[$n][i], sums[$n][i]);
                }
            }
        };
    }
    vector!(0);
    vector!(1);
}

/// Rows are spelled out for the same reason.
macro_rules! sums {
    ($($ROWS:literal: $($row:literal)*;)*) => {$(
        impl<T: Term, const WIDTH: usize, const N: usize> Body for Sums<T, $ROWS, WIDTH, N> {
            type Args = Tile;
            type Given = ();
            /// Safety: `a` and `b` hold packed panels of `k` products; `from` (unless null) and `to` as many
            /// elements as a row of the tile has each `stride`, for each row; nobody else writes any of it.
            #[inline(always)]
            unsafe fn run(tile: &Tile) {
                let (a, b) = (tile.a.cast::<[T; $ROWS]>(), tile.b.cast::<[[T; WIDTH]; N]>());
                let mut sums = [[[T::ZERO; WIDTH]; N]; $ROWS];
                // SAFETY: the caller's, throughout.
                unsafe {
                    if !tile.from.is_null() {
                        let from = |row: usize| tile.from.cast::<T>().add(row * tile.stride);
                        $(sums[$row] = from($row).cast::<[[T; WIDTH]; N]>().read();)*
                    }
                    for p in 0..tile.k {
                        let (a, b) = (&*a.add(p), b.add(p).read());
                        $(step(&mut sums[$row], a[$row], &b);)*
                    }
                    let to = |row: usize| tile.to.cast::<T>().add(row * tile.stride).cast::<[[T; WIDTH]; N]>();
                    $(
                        let mut total = sums[$row];
                        if tile.adds {
                            total = to($row).read();
                            for n in 0..N {
                                for i in 0..WIDTH {
                                    total[n][i] = total[n][i].plus(sums[$row][n][i]);
                                }
                            }
                        }
                        to($row).write(total);
                    )*
                }
            }
        }
    )*};
}

sums! {
    1: 0;
    2: 0 1;
    4: 0 1 2 3;
    6: 0 1 2 3 4 5;
    8: 0 1 2 3 4 5 6 7;
}

impl<T: Copy + Default> Body for Pack<T> {
    type Args = Panel;
    type Given = ();
    /// Safety: the elements lie in a verified factor; `to` has room for `k·padded`.
    #[inline(always)]
    unsafe fn run(panel: &Panel) {
        let &Panel { from, k_stride, stride, k, n, padded, to } = panel;
        let size = size_of::<T>() as isize;
        let to = to.cast::<T>();
        let element = |p: usize, i: usize| {
            from.wrapping_offset(p as isize * k_stride + i as isize * stride).cast::<T>()
        };
        // SAFETY: the caller's, throughout.
        unsafe {
            if n < padded {
                for at in 0..k * padded {
                    to.add(at).write(T::default());
                }
            }
            if stride == size {
                for p in 0..k {
                    element(p, 0).copy_to_nonoverlapping(to.add(p * padded), n);
                }
            } else if k_stride == size {
                for i in 0..n {
                    let row = std::slice::from_raw_parts(element(0, i), k);
                    for (p, &x) in row.iter().enumerate() {
                        to.add(p * padded + i).write(x);
                    }
                }
            } else {
                for p in 0..k {
                    for i in 0..n {
                        to.add(p * padded + i).write(element(p, i).read());
                    }
                }
            }
        }
    }
}
