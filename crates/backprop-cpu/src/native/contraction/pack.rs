//! Lanes brought side by side: panels of a factor whose lanes lie elsewhere than next to each other.
//!
//! A panel holds, for each k, the elements of its lanes, 0 where there is no lane.

use core::arch::x86_64::*;

use backprop_core::DType;

use crate::native::Isa;

use super::assembly::Vectors;

/// A matrix to copy from: element (i, j) is `i·row + j·column` bytes from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix {
    pub start: *const u8,
    pub row: isize,
    pub column: isize,
    pub n_rows: usize,
    pub n_columns: usize,
}

/// Copies a matrix into rows that are `pitch` bytes apart, each rounded up to whole vectors with zeros.
///
/// # Safety
/// The CPU has the instruction set. Every element of `from` is readable; `to` is writable for `from.n_rows` rows
/// of `pitch` bytes, a multiple of a vector, at least `from.n_columns` elements; they do not overlap.
pub(super) unsafe fn pack(vectors: Vectors, from: Matrix, to: *mut u8, pitch: usize) {
    let size = vectors.dtype.size() as isize;
    // SAFETY: as this function's.
    unsafe {
        match (vectors.dtype, vectors.isa) {
            (_, Isa::Avx512) if from.column == size => copy_rows_avx512(from, to, pitch, size as usize),
            (_, Isa::Avx2) if from.column == size => copy_rows_avx2(from, to, pitch, size as usize),
            (DType::F32, Isa::Avx512) if from.row == size => transpose_f32_avx512(from, to, pitch),
            (DType::F32, Isa::Avx2) if from.row == size => transpose_f32_avx2(from, to, pitch),
            (DType::F64, Isa::Avx512) if from.row == size => transpose_f64_avx512(from, to, pitch),
            (DType::F64, Isa::Avx2) if from.row == size => transpose_f64_avx2(from, to, pitch),
            (DType::F64, _) => copy_each::<f64>(from, to, pitch, vectors.lanes()),
            _ => copy_each::<f32>(from, to, pitch, vectors.lanes()),
        }
    }
}

/// Rows whose elements are neighbours already.
///
/// # Safety
/// As [`pack`].
#[target_feature(enable = "avx512f")]
unsafe fn copy_rows_avx512(from: Matrix, to: *mut u8, pitch: usize, size: usize) {
    // SAFETY: as this function's.
    unsafe { copy_rows::<64>(from, to, pitch, size) }
}

/// Rows whose elements are neighbours already.
///
/// # Safety
/// As [`pack`].
#[target_feature(enable = "avx2")]
unsafe fn copy_rows_avx2(from: Matrix, to: *mut u8, pitch: usize, size: usize) {
    // SAFETY: as this function's.
    unsafe { copy_rows::<32>(from, to, pitch, size) }
}

/// Rows whose elements, `size` bytes each, are neighbours already, in vectors of `WIDTH` bytes.
///
/// # Safety
/// As [`pack`].
#[inline(always)]
unsafe fn copy_rows<const WIDTH: usize>(from: Matrix, to: *mut u8, pitch: usize, size: usize) {
    let bytes = from.n_columns * size;
    let whole = bytes / WIDTH * WIDTH;
    for row in 0..from.n_rows {
        let source = from.start.wrapping_offset(row as isize * from.row);
        // SAFETY: row `row` of both matrices, and the zeros that end it: a vector at most. To look ahead is
        // no access.
        unsafe {
            let target = to.add(row * pitch);
            let ahead = source.wrapping_offset(ROWS_AHEAD * from.row);
            for at in (0..bytes).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(at).cast());
            }
            for at in (0..whole).step_by(WIDTH) {
                target.add(at).cast::<[u8; WIDTH]>().write(source.add(at).cast::<[u8; WIDTH]>().read());
            }
            if whole < bytes {
                let mut last = [0; WIDTH];
                std::ptr::copy_nonoverlapping(source.add(whole), last.as_mut_ptr(), bytes - whole);
                target.add(whole).cast::<[u8; WIDTH]>().write(last);
            }
        }
    }
}

/// How many rows a copy looks ahead: rows may be so far apart that the CPU does not guess the next one.
const ROWS_AHEAD: isize = 16;

/// Elements one by one.
///
/// # Safety
/// As [`pack`].
unsafe fn copy_each<T: Copy + Default>(from: Matrix, to: *mut u8, pitch: usize, lanes: usize) {
    for row in 0..from.n_rows {
        for column in 0..from.n_columns.next_multiple_of(lanes) {
            // SAFETY: element (row, column) of both matrices, or the zeros that end a row.
            unsafe {
                let element = match column < from.n_columns {
                    true => from.element::<T>(row, column).read_unaligned(),
                    false => T::default(),
                };
                to.add(row * pitch).cast::<T>().add(column).write_unaligned(element);
            }
        }
    }
}

impl Matrix {
    /// Where element (row, column) is.
    ///
    /// # Safety
    /// There is such an element.
    unsafe fn element<T>(&self, row: usize, column: usize) -> *const T {
        // SAFETY: it lies inside the matrix.
        unsafe { self.start.offset(row as isize * self.row + column as isize * self.column).cast() }
    }
}

macro_rules! transposition {
    (
        $(#[$doc:meta])* $name:ident, $features:literal, $T:ty, $n:literal, $V:ty,
        load |$from:ident, $count:ident| $load:expr, store |$to:ident, $x:ident| $store:expr, zero $zero:expr, turn $turn:ident
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As [`pack`]; elements of a column are neighbours.
        #[target_feature(enable = $features)]
        unsafe fn $name(from: Matrix, to: *mut u8, pitch: usize) {
            // Down each column first: as many streams as a block has columns, which the CPU can foresee.
            for first_column in (0..from.n_columns).step_by($n) {
                let n_columns = (from.n_columns - first_column).min($n);
                for first_row in (0..from.n_rows).step_by($n) {
                    let $count = (from.n_rows - first_row).min($n);
                    let mut block: [$V; $n] = [$zero; $n];
                    for (column, vector) in block.iter_mut().enumerate().take(n_columns) {
                        // SAFETY: `count` elements of a column, from one that exists on.
                        *vector = unsafe {
                            let $from = from.element::<$T>(first_row, first_column + column);
                            $load
                        };
                    }
                    $turn(&mut block);
                    for (row, $x) in block.into_iter().enumerate().take($count) {
                        // SAFETY: a vector inside a row that exists.
                        unsafe {
                            let $to = to.add((first_row + row) * pitch).cast::<$T>().add(first_column);
                            $store;
                        }
                    }
                }
            }
        }
    };
}

transposition! {
    /// Columns become rows, 16 × 16 at a time.
    transpose_f32_avx512, "avx512f", f32, 16, __m512,
    load |from, count| match count {
        16 => _mm512_loadu_ps(from),
        _ => _mm512_maskz_loadu_ps(((1u32 << count) - 1) as u16, from),
    },
    store |to, x| _mm512_storeu_ps(to, x), zero _mm512_setzero_ps(), turn turn_16
}

transposition! {
    /// Columns become rows, 8 × 8 at a time.
    transpose_f64_avx512, "avx512f", f64, 8, __m512d,
    load |from, count| match count {
        8 => _mm512_loadu_pd(from),
        _ => _mm512_maskz_loadu_pd(((1u32 << count) - 1) as u8, from),
    },
    store |to, x| _mm512_storeu_pd(to, x), zero _mm512_setzero_pd(), turn turn_8_wide
}

transposition! {
    /// Columns become rows, 8 × 8 at a time.
    transpose_f32_avx2, "avx2", f32, 8, __m256,
    load |from, count| match count {
        8 => _mm256_loadu_ps(from),
        _ => _mm256_maskload_ps(from, _mm256_loadu_si256(mask(count * 4).as_ptr().cast())),
    },
    store |to, x| _mm256_storeu_ps(to, x), zero _mm256_setzero_ps(), turn turn_8
}

transposition! {
    /// Columns become rows, 4 × 4 at a time.
    transpose_f64_avx2, "avx2", f64, 4, __m256d,
    load |from, count| match count {
        4 => _mm256_loadu_pd(from),
        _ => _mm256_maskload_pd(from, _mm256_loadu_si256(mask(count * 8).as_ptr().cast())),
    },
    store |to, x| _mm256_storeu_pd(to, x), zero _mm256_setzero_pd(), turn turn_4
}

/// 32 bytes, of which the first `bytes` have all bits set and the others none.
pub(super) fn mask(bytes: usize) -> &'static [u8] {
    static BITS: [u8; 64] = {
        let mut bits = [0; 64];
        let mut at = 0;
        while at < 32 {
            bits[at] = 0xff;
            at += 1;
        }
        bits
    };
    &BITS[32 - bytes.min(32)..]
}

// In each turn, pairs of vectors trade halves, first of neighbours, then of ever larger groups.

#[inline]
#[target_feature(enable = "avx512f")]
fn turn_16(x: &mut [__m512; 16]) {
    let mut t = [_mm512_setzero_ps(); 16];
    for quad in 0..4 {
        let [a, b, c, d] = [x[4 * quad], x[4 * quad + 1], x[4 * quad + 2], x[4 * quad + 3]];
        let pairs = [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)];
        let others = [_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)];
        for half in 0..2 {
            let (p, q) = (_mm512_castps_pd(pairs[half]), _mm512_castps_pd(others[half]));
            t[4 * quad + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, q));
            t[4 * quad + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, q));
        }
    }
    // t[4·quad + i] holds, in its 128-bit part c, elements 4c + i of vectors 4·quad...
    for i in 0..4 {
        let low = _mm512_shuffle_f32x4::<0x88>(t[i], t[4 + i]);
        let high = _mm512_shuffle_f32x4::<0x88>(t[8 + i], t[12 + i]);
        x[i] = _mm512_shuffle_f32x4::<0x88>(low, high);
        x[8 + i] = _mm512_shuffle_f32x4::<0xdd>(low, high);
        let low = _mm512_shuffle_f32x4::<0xdd>(t[i], t[4 + i]);
        let high = _mm512_shuffle_f32x4::<0xdd>(t[8 + i], t[12 + i]);
        x[4 + i] = _mm512_shuffle_f32x4::<0x88>(low, high);
        x[12 + i] = _mm512_shuffle_f32x4::<0xdd>(low, high);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn turn_8_wide(x: &mut [__m512d; 8]) {
    let mut t = [_mm512_setzero_pd(); 8];
    for pair in 0..4 {
        t[2 * pair] = _mm512_unpacklo_pd(x[2 * pair], x[2 * pair + 1]);
        t[2 * pair + 1] = _mm512_unpackhi_pd(x[2 * pair], x[2 * pair + 1]);
    }
    // t[2·pair + i] holds, in its 128-bit part c, elements 2c + i of vectors 2·pair and the next.
    for i in 0..2 {
        let low = _mm512_shuffle_f64x2::<0x88>(t[i], t[2 + i]);
        let high = _mm512_shuffle_f64x2::<0x88>(t[4 + i], t[6 + i]);
        x[i] = _mm512_shuffle_f64x2::<0x88>(low, high);
        x[4 + i] = _mm512_shuffle_f64x2::<0xdd>(low, high);
        let low = _mm512_shuffle_f64x2::<0xdd>(t[i], t[2 + i]);
        let high = _mm512_shuffle_f64x2::<0xdd>(t[4 + i], t[6 + i]);
        x[2 + i] = _mm512_shuffle_f64x2::<0x88>(low, high);
        x[6 + i] = _mm512_shuffle_f64x2::<0xdd>(low, high);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn turn_8(x: &mut [__m256; 8]) {
    let mut t = [_mm256_setzero_ps(); 8];
    for quad in 0..2 {
        let [a, b, c, d] = [x[4 * quad], x[4 * quad + 1], x[4 * quad + 2], x[4 * quad + 3]];
        let pairs = [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)];
        let others = [_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)];
        for half in 0..2 {
            t[4 * quad + 2 * half] = _mm256_shuffle_ps::<0x44>(pairs[half], others[half]);
            t[4 * quad + 2 * half + 1] = _mm256_shuffle_ps::<0xee>(pairs[half], others[half]);
        }
    }
    for i in 0..4 {
        x[i] = _mm256_permute2f128_ps::<0x20>(t[i], t[4 + i]);
        x[4 + i] = _mm256_permute2f128_ps::<0x31>(t[i], t[4 + i]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn turn_4(x: &mut [__m256d; 4]) {
    let [a, b, c, d] = *x;
    let low = [_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b)];
    let high = [_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d)];
    for i in 0..2 {
        x[i] = _mm256_permute2f128_pd::<0x20>(low[i], high[i]);
        x[2 + i] = _mm256_permute2f128_pd::<0x31>(low[i], high[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs an n_rows × n_columns matrix whose element (i, j) is 100·i + j, and reads it back.
    fn check<T: Copy + Default + PartialEq + std::fmt::Debug + From<f32>>(
        vectors: Vectors,
        n_rows: usize,
        n_columns: usize,
        strides: (usize, usize),
    ) {
        let size = vectors.dtype.size();
        let mut source = vec![T::from(-1.0); n_rows * strides.0 + n_columns * strides.1 + 1];
        for i in 0..n_rows {
            for j in 0..n_columns {
                source[i * strides.0 + j * strides.1] = T::from((100 * i + j) as f32);
            }
        }
        let pitch = n_columns.next_multiple_of(vectors.lanes());
        let mut packed = vec![T::from(-2.0); n_rows * pitch];
        let from = Matrix {
            start: source.as_ptr().cast(),
            row: (strides.0 * size) as isize,
            column: (strides.1 * size) as isize,
            n_rows,
            n_columns,
        };
        // SAFETY: the matrix and its copy lie inside their vectors; the caller has looked at the CPU.
        unsafe { pack(vectors, from, packed.as_mut_ptr().cast(), pitch * size) };
        for (at, &element) in packed.iter().enumerate() {
            let (i, j) = (at / pitch, at % pitch);
            let expect = if j < n_columns { (100 * i + j) as f32 } else { 0.0 };
            assert_eq!(
                element,
                T::from(expect),
                "{vectors:?} {n_rows}×{n_columns}, {strides:?}, at {i}, {j}"
            );
        }
    }

    #[test]
    fn packing_keeps_every_element() {
        for isa in Isa::available() {
            for (n_rows, n_columns) in [(1, 1), (3, 5), (16, 16), (17, 31), (37, 67), (0, 3), (3, 0)] {
                for strides in [(n_columns.max(1), 1), (1, n_rows + 2), (3, 3 * n_rows + 2)] {
                    check::<f32>(Vectors { isa, dtype: DType::F32 }, n_rows, n_columns, strides);
                    check::<f64>(Vectors { isa, dtype: DType::F64 }, n_rows, n_columns, strides);
                }
            }
        }
    }
}
