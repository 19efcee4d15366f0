//! Scalar code of the loop IR, as vector code.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use backprop_opt::loops::{Code, Instr, Reg};

use super::forms;
use super::vector::Sign::{Minus, Plus};
use super::vector::{Kind, MaskOp, Op, Value, VectorCode, kind_of, predicate};
use crate::math;
use crate::math::record::{Lane, LaneCode};
use crate::native::Isa;

/// Where an access of the code leads.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The pointer that is there.
    pub pointer: u32,
    /// How many elements the innermost loop moves it on.
    pub stride: isize,
}

/// Which registers are `i64`s of which only the low half is needed: counts, literals, and elements that all
/// columns share, that are only made shorter. They take no lanes of 64 bits.
pub fn narrowed(code: &Code, strides: &[isize], written: impl Iterator<Item = Reg>) -> Vec<bool> {
    let has_low_half = |(instr, &dtype): (&Instr, &DType)| {
        dtype == DType::I64
            && match instr {
                Instr::Count(_) | Instr::Literal(_) => true,
                // The low half comes first in memory.
                Instr::Load(access) => strides[*access as usize] == 0,
                _ => false,
            }
    };
    let mut narrowed: Vec<bool> = code.instrs.iter().zip(&code.dtypes).map(has_low_half).collect();
    for (instr, dtype) in code.instrs.iter().zip(&code.dtypes) {
        let is_cut = matches!(instr, Instr::Cast(_)) && dtype.is_int() && dtype.size() <= 4;
        if !is_cut {
            instr.operands().iter().for_each(|&operand| narrowed[operand as usize] = false);
        }
    }
    written.for_each(|reg| narrowed[reg as usize] = false);
    narrowed
}

/// A translation in progress.
pub(super) struct Translation<'a> {
    narrowed: &'a [bool],
    code: &'a Code,
    targets: &'a [Target],
    /// Makes a pointer that code sets; it moves as the given one does.
    new_pointer: &'a mut dyn FnMut(Target) -> u32,
    pub(super) out: &'a mut VectorCode,
}

/// The values of registers, where something needs them; `None` where an instruction has no vector code.
pub fn translate(
    code: &Code,
    wanted: impl Iterator<Item = Reg>,
    targets: &[Target],
    narrowed: &[bool],
    new_pointer: &mut dyn FnMut(Target) -> u32,
    out: &mut VectorCode,
) -> Option<Vec<Option<Value>>> {
    let mut is_needed = vec![false; code.instrs.len()];
    wanted.for_each(|reg| is_needed[reg as usize] = true);
    for (reg, instr) in code.instrs.iter().enumerate().rev() {
        // A gather may be a fault, which is told even where nobody reads the element.
        is_needed[reg] |= matches!(instr, Instr::Gather { .. });
        if is_needed[reg] {
            instr.operands().iter().for_each(|&operand| is_needed[operand as usize] = true);
        }
    }
    let mut translation = Translation { narrowed, code, targets, new_pointer, out };
    let mut values = vec![None; code.instrs.len()];
    for reg in (0..code.instrs.len()).filter(|&reg| is_needed[reg]) {
        values[reg] = Some(translation.instr(reg, &values)?);
    }
    Some(values)
}

impl Translation<'_> {
    fn instr(&mut self, reg: usize, values: &[Option<Value>]) -> Option<Value> {
        let value = |reg: Reg| values[reg as usize].expect("operands are needed, and come earlier");
        let of = |reg: usize| if self.narrowed[reg] { DType::I32 } else { self.code.dtypes[reg] };
        let dtype = of(reg);
        let kind = kind_of(dtype);
        Some(match self.code.instrs[reg] {
            Instr::Product => return None,
            Instr::Load(access) => {
                let Target { pointer, stride } = self.targets[access as usize];
                self.out.push(Op::Load(pointer, dtype), kind, &[], stride != 0)
            }
            Instr::Gather { access, index, stride, bound } => {
                let index = self.cast(value(index), self.code.dtype(index), DType::I64)?;
                self.gather(self.targets[access as usize], index, stride, bound, dtype)?
            }
            Instr::Literal(bits) => match dtype {
                DType::F32 | DType::I32 | DType::U32 => self.out.literal(kind, bits & 0xffff_ffff),
                DType::U8 => self.out.literal(kind, bits & 0xff),
                DType::Bool => self.out.literal(kind, u64::from(bits != 0)),
                DType::F64 | DType::I64 => self.out.literal(kind, bits),
            },
            Instr::Count(access) => {
                let Target { pointer, stride } = self.targets[access as usize];
                let first = self.out.push(Op::Position(pointer), kind, &[], stride != 0);
                if stride == 0 {
                    return Some(first);
                }
                let ramp = self.out.push(Op::Ramp(stride as i64), kind, &[], false);
                self.out.two(forms::ADD_INT, first, ramp)
            }
            Instr::Unary(op, x) => self.unary(op, dtype, value(x))?,
            Instr::Binary(op, a, b) => self.binary(op, dtype, value(a), value(b))?,
            Instr::Fma(a, b, c) => self.out.fused([Plus, Plus], value(a), value(b), value(c)),
            Instr::Compare(op, a, b) => self.compare(op, self.code.dtype(a), value(a), value(b)),
            Instr::Logic(op, a, b) => match op {
                Logic::And => self.out.masks(MaskOp::And, &[value(a), value(b)]),
                Logic::Or => self.out.masks(MaskOp::Or, &[value(a), value(b)]),
                Logic::Not => self.out.masks(MaskOp::Not, &[value(a)]),
            },
            Instr::Select(c, a, b) => self.out.select(value(c), value(a), value(b)),
            Instr::Cast(x) => self.cast(value(x), of(x as usize), dtype)?,
        })
    }

    fn gather(
        &mut self,
        target: Target,
        index: Value,
        stride: i64,
        bound: u64,
        dtype: DType,
    ) -> Option<Value> {
        let stride = stride.checked_mul(dtype.size() as i64).filter(|&bytes| i32::try_from(bytes).is_ok())?;
        if bound == 0 || i32::try_from(bound).is_err() {
            return None;
        }
        let Target { pointer, stride: column_stride } = target;
        if self.out.nodes[index as usize].varies {
            let op = Op::Gather { pointer, stride, bound, dtype };
            return Some(self.out.push(op, kind_of(dtype), &[index], column_stride != 0));
        }
        // One index for the whole loop, as for a row of an embedding: the loop reads what it points to.
        let to = (self.new_pointer)(target);
        let is_inside = self.out.push(Op::Point { pointer, to, stride, bound }, Kind::Mask, &[index], false);
        let element = self.out.push(Op::Load(to, dtype), kind_of(dtype), &[], column_stride != 0);
        let zero = self.out.number(dtype, 0.0);
        Some(self.out.select(is_inside, element, zero))
    }

    fn unary(&mut self, op: Unary, dtype: DType, x: Value) -> Option<Value> {
        if dtype.is_float() {
            return self.lanes(math::unary_code(op, dtype)?, &[x]);
        }
        let zero = self.out.number(dtype, 0.0);
        let is_unsigned = matches!(dtype, DType::U32 | DType::U8);
        let y = match op {
            Unary::Neg => self.out.two(forms::SUB_INT, zero, x),
            Unary::Square => self.product(x, x),
            Unary::Abs if is_unsigned => x,
            Unary::Abs if forms::ABS_INT[usize::from(dtype == DType::I64)].exists(self.out.isa) => {
                let kind = self.out.kind(x);
                self.out.one(super::vector::of_kind(forms::ABS_INT, kind), kind, x)
            }
            Unary::Abs => {
                let negated = self.out.two(forms::SUB_INT, zero, x);
                let is_negative = self.compare(Compare::Lt, dtype, x, zero);
                self.out.select(is_negative, negated, x)
            }
            Unary::Sign => {
                let [one, minus_one] = [1.0, -1.0].map(|number| self.out.number(dtype, number));
                let is_positive = self.compare(Compare::Gt, dtype, x, zero);
                let sign = self.out.select(is_positive, one, zero);
                if is_unsigned {
                    return Some(sign);
                }
                let is_negative = self.compare(Compare::Lt, dtype, x, zero);
                self.out.select(is_negative, minus_one, sign)
            }
            _ => return None,
        };
        Some(self.wrapped(dtype, y))
    }

    fn binary(&mut self, op: Binary, dtype: DType, a: Value, b: Value) -> Option<Value> {
        if dtype.is_float() {
            return self.lanes(math::binary_code(op, dtype)?, &[a, b]);
        }
        let y = match op {
            Binary::Add => self.out.commuting(forms::ADD_INT, a, b),
            Binary::Sub => self.out.two(forms::SUB_INT, a, b),
            Binary::Mul => self.product(a, b),
            Binary::Maximum | Binary::Minimum => return Some(self.extreme_int(op, dtype, a, b)),
            Binary::Div | Binary::Pow => return None,
        };
        Some(self.wrapped(dtype, y))
    }

    fn extreme_int(&mut self, op: Binary, dtype: DType, a: Value, b: Value) -> Value {
        let forms = match (op, dtype) {
            (Binary::Maximum, DType::U32) => forms::MAX_UNSIGNED,
            (Binary::Maximum, _) => forms::MAX_INT,
            (_, DType::U32) => forms::MIN_UNSIGNED,
            _ => forms::MIN_INT,
        };
        if super::vector::of_kind(forms, self.out.kind(a)).exists(self.out.isa) {
            return self.out.commuting(forms, a, b);
        }
        let compare = if op == Binary::Maximum { Compare::Gt } else { Compare::Lt };
        let first = self.compare(compare, dtype, a, b);
        self.out.select(first, a, b)
    }

    /// The low half of a product.
    fn product(&mut self, a: Value, b: Value) -> Value {
        let kind = self.out.kind(a);
        if super::vector::of_kind(forms::MUL_INT, kind).exists(self.out.isa) {
            return self.out.commuting(forms::MUL_INT, a, b);
        }
        // (a₁·2³² + a₀)(b₁·2³² + b₀) = a₀b₀ + (a₁b₀ + a₀b₁)·2³², to 64 bits.
        let low = self.out.two(forms::MUL_WIDE, a, b);
        let a_high = self.out.one_by(forms::SHIFT_RIGHT, 32, a);
        let b_high = self.out.one_by(forms::SHIFT_RIGHT, 32, b);
        let left = self.out.two(forms::MUL_WIDE, a_high, b);
        let right = self.out.two(forms::MUL_WIDE, a, b_high);
        let cross = self.out.two(forms::ADD_INT, left, right);
        let cross = self.out.one_by(forms::SHIFT_LEFT, 32, cross);
        self.out.two(forms::ADD_INT, low, cross)
    }

    /// A result of integers, wrapped to its type.
    pub(super) fn wrapped(&mut self, dtype: DType, x: Value) -> Value {
        if dtype != DType::U8 {
            return x;
        }
        let byte = self.out.literal(Kind::Word, 0xff);
        self.out.two(forms::AND, x, byte)
    }

    pub(super) fn compare(&mut self, op: Compare, dtype: DType, a: Value, b: Value) -> Value {
        match dtype {
            DType::F32 | DType::F64 => {
                let predicate = match op {
                    Compare::Eq => predicate::EQUAL,
                    Compare::Ne => predicate::NOT_EQUAL,
                    Compare::Lt => predicate::BELOW,
                    Compare::Le => predicate::AT_MOST,
                    Compare::Gt => predicate::ABOVE,
                    Compare::Ge => predicate::AT_LEAST,
                };
                self.out.compare_floats(predicate, a, b)
            }
            DType::Bool => {
                // false < true
                let (op, a, b) = match op {
                    Compare::Gt => (Compare::Lt, b, a),
                    Compare::Ge => (Compare::Le, b, a),
                    _ => (op, a, b),
                };
                match op {
                    Compare::Ne => self.out.masks(MaskOp::Xor, &[a, b]),
                    Compare::Eq => {
                        let differ = self.out.masks(MaskOp::Xor, &[a, b]);
                        self.out.masks(MaskOp::Not, &[differ])
                    }
                    _ => {
                        let not = self.out.masks(MaskOp::Not, &[a]);
                        let join = if op == Compare::Lt { MaskOp::And } else { MaskOp::Or };
                        self.out.masks(join, &[not, b])
                    }
                }
            }
            _ => self.out.compare_ints(op, dtype != DType::U32, a, b),
        }
    }

    /// The code of a function of the table.
    fn lanes(&mut self, code: &LaneCode, inputs: &[Value]) -> Option<Value> {
        let spelled_out;
        let code = if self.out.isa == Isa::Avx512 {
            code
        } else {
            spelled_out = code.without_scale();
            &spelled_out
        };
        let kind = kind_of(code.dtype);
        let mut values: Vec<Value> = Vec::with_capacity(code.lanes.len());
        for lane in &code.lanes {
            let at = |number: u32| values[number as usize];
            let out = &mut *self.out;
            values.push(match *lane {
                Lane::Input(number) => inputs[number as usize],
                Lane::Literal(bits) => out.literal(kind, bits),
                Lane::Add(a, b) => out.sum(Plus, at(a), at(b)),
                Lane::Sub(a, b) => out.sum(Minus, at(a), at(b)),
                Lane::Mul(a, b) => out.commuting(forms::MUL, at(a), at(b)),
                Lane::Div(a, b) => out.two(forms::DIV, at(a), at(b)),
                Lane::MulAdd(a, b, c) => out.fused([Plus, Plus], at(a), at(b), at(c)),
                Lane::MulSub(a, b, c) => out.fused([Plus, Minus], at(a), at(b), at(c)),
                Lane::NegMulAdd(a, b, c) => out.fused([Minus, Plus], at(a), at(b), at(c)),
                Lane::Sqrt(x) => out.one(super::vector::of_kind(forms::SQRT, kind), kind, at(x)),
                // 8: no inexact exception.
                Lane::Round(x) => out.one_by(forms::ROUND, 8, at(x)),
                Lane::Floor(x) => out.one_by(forms::ROUND, 8 + 1, at(x)),
                Lane::Ceil(x) => out.one_by(forms::ROUND, 8 + 2, at(x)),
                Lane::Smaller(a, b) => out.two(forms::MIN, at(a), at(b)),
                Lane::Larger(a, b) => out.two(forms::MAX, at(a), at(b)),
                Lane::Scale(a, b) => out.two(forms::SCALE, at(a), at(b)),
                Lane::AddInt(a, b) => out.commuting(forms::ADD_INT, at(a), at(b)),
                Lane::SubInt(a, b) => out.two(forms::SUB_INT, at(a), at(b)),
                Lane::And(a, b) => out.commuting(forms::AND, at(a), at(b)),
                Lane::Or(a, b) => out.commuting(forms::OR, at(a), at(b)),
                Lane::Xor(a, b) => out.commuting(forms::XOR, at(a), at(b)),
                Lane::ShiftLeft(x, n) => out.one_by(forms::SHIFT_LEFT, n as u8, at(x)),
                Lane::ShiftRight(x, n) => out.one_by(forms::SHIFT_RIGHT, n as u8, at(x)),
                Lane::Entry(x, table) if kind == Kind::Word => out.entry(at(x), table),
                // No function of f64 has a table.
                Lane::Entry(..) => return None,
                Lane::Below(a, b) => out.compare_floats(predicate::BELOW, at(a), at(b)),
                Lane::AtMost(a, b) => out.compare_floats(predicate::AT_MOST, at(a), at(b)),
                Lane::Equal(a, b) => out.compare_floats(predicate::EQUAL, at(a), at(b)),
                Lane::EqualInt(a, b) => out.compare_ints(Compare::Eq, true, at(a), at(b)),
                Lane::Both(a, b) => out.masks(MaskOp::And, &[at(a), at(b)]),
                Lane::Either(a, b) => out.masks(MaskOp::Or, &[at(a), at(b)]),
                // One comparison in place of two instructions; what is not read is left out later.
                Lane::Not(x) => match code.lanes[x as usize] {
                    Lane::Equal(a, b) => out.compare_floats(predicate::NOT_EQUAL, at(a), at(b)),
                    Lane::Below(a, b) => out.compare_floats(predicate::NOT_BELOW, at(a), at(b)),
                    Lane::AtMost(a, b) => out.compare_floats(predicate::NOT_AT_MOST, at(a), at(b)),
                    _ => out.masks(MaskOp::Not, &[at(x)]),
                },
                Lane::Select(c, a, b) => out.select(at(c), at(a), at(b)),
            });
        }
        let y = values[code.result as usize];
        Some(match code.rare {
            None => y,
            Some(rare) => {
                let operands = [values[rare.mask as usize], inputs[0], y];
                self.out.push(Op::Rare(rare.function), kind, &operands, false)
            }
        })
    }
}
