//! Conversions between types, as Rust's `as` does them.

use backprop_core::DType;
use backprop_core::ops::Compare;

use super::forms;
use super::translate::Translation;
use super::vector::Sign::Plus;
use super::vector::{Kind, Value, predicate};
use crate::native::Isa;

impl Translation<'_> {
    pub(super) fn cast(&mut self, x: Value, from: DType, to: DType) -> Option<Value> {
        use DType::{Bool, F32, F64, I32, I64, U8, U32};
        Some(match (from, to) {
            _ if from == to => x,
            (Bool, _) => {
                let [one, zero] = [1.0, 0.0].map(|number| self.out.number(to, number));
                self.out.select(x, one, zero)
            }
            (_, Bool) => {
                let zero = self.out.number(from, 0.0);
                self.compare(Compare::Ne, from, x, zero)
            }
            (F32, F64) => self.out.one(forms::F32_TO_F64, Kind::Double, x),
            (F64, F32) => self.out.one(forms::F64_TO_F32, Kind::Word, x),
            (F32 | F64, I32) => self.float_to_i32(x, from),
            (F32 | F64, U8) => {
                let int = self.float_to_i32(x, from);
                let [zero, most] = [0.0, 255.0].map(|number| self.out.number(I32, number));
                let positive = self.out.two(forms::MAX_INT, int, zero);
                self.out.two(forms::MIN_INT, positive, most)
            }
            (F32 | F64, U32) => self.float_to_u32(x, from),
            (F32 | F64, I64) => self.float_to_i64(x, from)?,
            (I32 | U8, F32) => self.out.one(forms::I32_TO_F32, Kind::Word, x),
            (I32 | U8, F64) => self.out.one(forms::I32_TO_F64, Kind::Double, x),
            (U32, F32) => self.u32_to_f32(x),
            (U32, F64) => self.u32_to_f64(x),
            (I64, F32) if self.out.isa == Isa::Avx512 => self.out.one(forms::I64_TO_F32, Kind::Word, x),
            // By f64 it would be rounded twice.
            (I64, F32) => return None,
            (I64, F64) => self.i64_to_f64(x),
            (I32, I64) => self.out.one(forms::I32_TO_I64, Kind::Double, x),
            (U32 | U8, I64) => self.out.one(forms::U32_TO_I64, Kind::Double, x),
            (I64, _) => {
                let low = self.out.narrow(x);
                self.wrapped(to, low)
            }
            _ => self.wrapped(to, x),
        })
    }

    /// Where what the machine gives is not what `as` gives: beyond the greatest integer, and of NaN.
    pub(super) fn saturated(
        &mut self,
        int: Value,
        x: Value,
        from: DType,
        bits: i32,
        greatest: Value,
    ) -> Value {
        let beyond = self.out.number(from, 2f64.powi(bits));
        let is_beyond = self.out.compare_floats(predicate::AT_LEAST, x, beyond);
        let int = self.out.select(is_beyond, greatest, int);
        let is_nan = self.out.compare_floats(predicate::UNORDERED, x, x);
        let kind = self.out.kind(int);
        let zero = self.out.literal(kind, 0);
        self.out.select(is_nan, zero, int)
    }

    pub(super) fn float_to_i32(&mut self, x: Value, from: DType) -> Value {
        let form = if from == DType::F32 { forms::F32_TO_I32 } else { forms::F64_TO_I32 };
        let int = self.out.one(form, Kind::Word, x);
        let greatest = self.out.literal(Kind::Word, 0x7fff_ffff);
        self.saturated(int, x, from, 31, greatest)
    }

    pub(super) fn float_to_i64(&mut self, x: Value, from: DType) -> Option<Value> {
        let form = if from == DType::F32 { forms::F32_TO_I64 } else { forms::F64_TO_I64 };
        if !form.exists(self.out.isa) {
            return None;
        }
        let int = self.out.one(form, Kind::Double, x);
        let greatest = self.out.literal(Kind::Double, i64::MAX as u64);
        Some(self.saturated(int, x, from, 63, greatest))
    }

    pub(super) fn float_to_u32(&mut self, x: Value, from: DType) -> Value {
        let zero = self.out.number(from, 0.0);
        // False of NaN as well.
        let is_positive = self.out.compare_floats(predicate::AT_LEAST, x, zero);
        let int = if self.out.isa == Isa::Avx512 {
            // Out of range it gives the greatest integer.
            let form = if from == DType::F32 { forms::F32_TO_U32 } else { forms::F64_TO_U32 };
            self.out.one(form, Kind::Word, x)
        } else {
            // By way of the signed integers: 2³¹ less, and the top bit put back.
            let half = self.out.number(from, 2f64.powi(31));
            let is_upper = self.out.compare_floats(predicate::AT_LEAST, x, half);
            let whole = self.out.one_by(forms::ROUND, 8 + 3, x);
            let rest = self.out.two(forms::SUB, whole, half);
            let form = if from == DType::F32 { forms::F32_TO_I32 } else { forms::F64_TO_I32 };
            let [lower, upper] = [x, rest].map(|x| self.out.one(form, Kind::Word, x));
            let upper = self.out.flipped(upper);
            let int = self.out.select(is_upper, upper, lower);
            let beyond = self.out.number(from, 2f64.powi(32));
            let is_beyond = self.out.compare_floats(predicate::AT_LEAST, x, beyond);
            let greatest = self.out.literal(Kind::Word, 0xffff_ffff);
            self.out.select(is_beyond, greatest, int)
        };
        let zero = self.out.literal(Kind::Word, 0);
        self.out.select(is_positive, int, zero)
    }

    pub(super) fn u32_to_f32(&mut self, x: Value) -> Value {
        if self.out.isa == Isa::Avx512 {
            return self.out.one(forms::U32_TO_F32, Kind::Word, x);
        }
        // Both halves are exact, and so is the upper one times 2¹⁶; the sum rounds once.
        let low_bits = self.out.literal(Kind::Word, 0xffff);
        let low = self.out.two(forms::AND, x, low_bits);
        let high = self.out.one_by(forms::SHIFT_RIGHT, 16, x);
        let [low, high] = [low, high].map(|half| self.out.one(forms::I32_TO_F32, Kind::Word, half));
        let shift = self.out.number(DType::F32, 65536.0);
        self.out.fused([Plus, Plus], high, shift, low)
    }

    pub(super) fn u32_to_f64(&mut self, x: Value) -> Value {
        if self.out.isa == Isa::Avx512 {
            return self.out.one(forms::U32_TO_F64, Kind::Double, x);
        }
        let less = self.out.flipped(x);
        let less = self.out.one(forms::I32_TO_F64, Kind::Double, less);
        let half = self.out.number(DType::F64, 2f64.powi(31));
        self.out.two(forms::ADD, less, half)
    }

    pub(super) fn i64_to_f64(&mut self, x: Value) -> Value {
        if self.out.isa == Isa::Avx512 {
            return self.out.one(forms::I64_TO_F64, Kind::Double, x);
        }
        // Both halves are exact, and so is the upper one times 2³²; the sum rounds once.
        let low = self.out.narrow(x);
        let high = self.out.one_by(forms::SHIFT_RIGHT, 32, x);
        let high = self.out.narrow(high);
        let low = self.u32_to_f64(low);
        let high = self.out.one(forms::I32_TO_F64, Kind::Double, high);
        let shift = self.out.number(DType::F64, 2f64.powi(32));
        self.out.fused([Plus, Plus], high, shift, low)
    }
}
