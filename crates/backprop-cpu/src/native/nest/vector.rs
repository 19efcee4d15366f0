//! Straight-line code on vectors: what an iteration does for all of its lanes at once.
//!
//! A register of the loop IR is one value here, or the few that an instruction of the machine's takes to
//! make it. Numbers of 32 bits and of 64 bits have the same number of lanes; `u8` is kept in 32 bits, below
//! 256. A truth value is a mask register (AVX-512), or 32 bits of ones or zeros for each lane (AVX2).

use std::collections::HashMap;

use backprop_core::DType;
use backprop_core::ops::Compare;
use smallvec::SmallVec;

use super::forms::{self, Form, Forms, Fused};
use crate::math::lane::Sixteen;
use crate::math::record::RareFunction;
use crate::native::Isa;

/// The number of a node, which is its result's.
pub type Value = u32;

/// What a value holds for each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
    /// A truth value.
    Mask,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// These bits in every lane.
    Literal(u64),
    /// 0, s, 2s, ...: 64-bit integers.
    Ramp(i64),
    /// These in a whole register, however many lanes the code has.
    Words(&'static [u32]),
    /// The elements at a pointer.
    Load(u32, DType),
    /// The number that a pointer counts, of the first lane.
    Position(u32),
    /// An instruction of one operand, and an immediate.
    One(Form, Option<u8>),
    /// An instruction of two operands, and an immediate.
    Two(Form, Option<u8>),
    /// ±a·b ± c.
    Fused(Fused),
    /// b where mask a holds, else c.
    Select,
    /// A function of masks.
    Masks(MaskOp),
    /// The lanes of [`Op::Words`] that the first operand counts, modulo their number.
    Entry,
    /// AVX2: the low halves of 64-bit lanes.
    Narrow,
    /// For each lane, the element at a pointer, moved by index · `stride` bytes; 0, and a fault, where the
    /// index is not below `bound`.
    Gather {
        /// Where index 0 lies.
        pointer: u32,
        /// In bytes.
        stride: i64,
        /// One past the last index.
        bound: u64,
        /// The type of the elements.
        dtype: DType,
    },
    /// Moves pointer `to` to where `pointer` is, further on by index · `stride` bytes. Whether the index is
    /// below `bound`; if not, it is a fault, and `to` is where `pointer` is.
    Point {
        /// Where index 0 lies.
        pointer: u32,
        /// What is set.
        to: u32,
        /// In bytes.
        stride: i64,
        /// One past the last index.
        bound: u64,
    },
    /// Operands mask, x, y: y, and the function of x where the mask holds.
    Rare(RareFunction),
    /// Writes the operand where a pointer is.
    Store {
        /// Where to.
        pointer: u32,
        /// The type of the elements.
        dtype: DType,
        /// Whether what is not finite is told.
        watched: bool,
        /// Whether it goes past the caches.
        streamed: bool,
    },
    /// Folds the operand into reduction `.0` of the stage.
    Fold(usize),
}

impl Op {
    /// Whether nothing computes it: it is made where it is needed.
    pub fn is_literal(self) -> bool {
        matches!(self, Op::Literal(_) | Op::Ramp(_) | Op::Words(_))
    }
}

/// A function of masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MaskOp {
    And,
    Or,
    Xor,
    Not,
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub struct Node {
    /// What.
    pub op: Op,
    /// What the result holds.
    pub kind: Kind,
    /// What it reads.
    pub operands: SmallVec<[Value; 3]>,
    /// Whether the innermost loop moves it.
    pub varies: bool,
}

/// Nodes, in order.
pub struct VectorCode {
    /// What it is made for.
    pub isa: Isa,
    /// The nodes.
    pub nodes: Vec<Node>,
    literals: HashMap<(Kind, u64), Value>,
    words: HashMap<&'static [u32], Value>,
}

/// How a term enters a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// As it is.
    Plus,
    /// Negated.
    Minus,
}

/// Comparisons of floats, as `vcmpps` numbers them: of a NaN, those that say no are true, the others false.
pub mod predicate {
    #![allow(missing_docs)]
    pub const EQUAL: u8 = 0;
    pub const UNORDERED: u8 = 3;
    pub const NOT_EQUAL: u8 = 4;
    pub const BELOW: u8 = 0x11;
    pub const AT_MOST: u8 = 0x12;
    pub const NOT_BELOW: u8 = 0x15;
    pub const NOT_AT_MOST: u8 = 0x16;
    pub const AT_LEAST: u8 = 0x1d;
    pub const ABOVE: u8 = 0x1e;
}

/// The kind of a type's values.
pub fn kind_of(dtype: DType) -> Kind {
    match dtype {
        DType::F64 | DType::I64 => Kind::Double,
        DType::F32 | DType::I32 | DType::U32 | DType::U8 => Kind::Word,
        DType::Bool => Kind::Mask,
    }
}

/// The sign bit of lanes of this kind.
fn sign_bit(kind: Kind) -> u64 {
    if kind == Kind::Double { 1 << 63 } else { 1 << 31 }
}

/// Of a pair of forms, that for lanes of this kind. (AVX2's masks are words.)
pub fn of_kind(forms: Forms, kind: Kind) -> Form {
    forms[usize::from(kind == Kind::Double)]
}

impl VectorCode {
    /// No nodes.
    pub fn new(isa: Isa) -> VectorCode {
        VectorCode { isa, nodes: Vec::new(), literals: HashMap::new(), words: HashMap::new() }
    }

    /// The kind of a value.
    pub fn kind(&self, value: Value) -> Kind {
        self.nodes[value as usize].kind
    }

    /// Adds a node.
    pub fn push(&mut self, op: Op, kind: Kind, operands: &[Value], varies: bool) -> Value {
        let varies = varies || operands.iter().any(|&operand| self.nodes[operand as usize].varies);
        self.nodes.push(Node { op, kind, operands: SmallVec::from_slice(operands), varies });
        self.nodes.len() as Value - 1
    }

    /// The same bits in every lane.
    pub fn literal(&mut self, kind: Kind, bits: u64) -> Value {
        if let Some(&value) = self.literals.get(&(kind, bits)) {
            return value;
        }
        let value = self.push(Op::Literal(bits), kind, &[], false);
        self.literals.insert((kind, bits), value);
        value
    }

    /// A number of a type, in every lane.
    pub fn number(&mut self, dtype: DType, value: f64) -> Value {
        let bits = match dtype {
            DType::F32 => u64::from((value as f32).to_bits()),
            DType::F64 => value.to_bits(),
            DType::I64 => value as i64 as u64,
            DType::I32 | DType::U32 | DType::U8 => u64::from(value as i64 as u32),
            DType::Bool => u64::from(value != 0.0),
        };
        self.literal(kind_of(dtype), bits)
    }

    /// An instruction of one operand.
    pub fn one(&mut self, form: Form, kind: Kind, x: Value) -> Value {
        self.push(Op::One(form, None), kind, &[x], false)
    }

    /// An instruction of one operand and an immediate, the result as the operand.
    pub fn one_by(&mut self, forms: Forms, immediate: u8, x: Value) -> Value {
        let kind = self.kind(x);
        self.push(Op::One(of_kind(forms, kind), Some(immediate)), kind, &[x], false)
    }

    /// An instruction of two operands of one kind, the result as they.
    pub fn two(&mut self, forms: Forms, a: Value, b: Value) -> Value {
        let kind = self.kind(a);
        self.push(Op::Two(of_kind(forms, kind), None), kind, &[a, b], false)
    }

    /// The same where the order of operands does not matter: what stays the same comes second, where an
    /// instruction can read memory.
    pub fn commuting(&mut self, forms: Forms, a: Value, b: Value) -> Value {
        let is_steady = |value: Value| !self.nodes[value as usize].varies;
        if is_steady(a) && !is_steady(b) { self.two(forms, b, a) } else { self.two(forms, a, b) }
    }

    /// a ± b.
    pub fn sum(&mut self, sign: Sign, a: Value, b: Value) -> Value {
        let (sign, b) = self.signed(sign, b);
        match (self.signed(Sign::Plus, a), sign) {
            ((Sign::Minus, a), Sign::Plus) => self.two(forms::SUB, b, a),
            (_, Sign::Plus) => self.commuting(forms::ADD, a, b),
            (_, Sign::Minus) => self.two(forms::SUB, a, b),
        }
    }

    /// ±a·b ± c, rounded once.
    pub fn fused(&mut self, [product, addend]: [Sign; 2], a: Value, b: Value, c: Value) -> Value {
        let kind = self.kind(a);
        let (product, a) = self.signed(product, a);
        let (product, b) = self.signed(product, b);
        let (addend, c) = self.signed(addend, c);
        let fused = forms::FUSED[product as usize][addend as usize];
        self.push(Op::Fused(fused), kind, &[a, b, c], false)
    }

    /// ±x, where x changes a sign without that change.
    fn signed(&self, sign: Sign, x: Value) -> (Sign, Value) {
        let Node { op: Op::Two(form, None), kind, ref operands, .. } = self.nodes[x as usize] else {
            return (sign, x);
        };
        let changed = self.nodes[operands[1] as usize].op;
        let is_change = form == of_kind(forms::XOR, kind)
            && matches!(changed, Op::Literal(bits) if bits == sign_bit(kind));
        match (is_change, sign) {
            (false, _) => (sign, x),
            (true, Sign::Plus) => (Sign::Minus, operands[0]),
            (true, Sign::Minus) => (Sign::Plus, operands[0]),
        }
    }

    /// b where the mask holds, else c.
    pub fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        let kind = self.kind(a);
        if let Op::Literal(bits) = self.nodes[mask as usize].op {
            return if bits != 0 { a } else { b };
        }
        if kind == Kind::Mask {
            let taken = self.masks(MaskOp::And, &[mask, a]);
            let not = self.masks(MaskOp::Not, &[mask]);
            let other = self.masks(MaskOp::And, &[not, b]);
            return self.masks(MaskOp::Or, &[taken, other]);
        }
        let mask = if self.isa == Isa::Avx2 && kind == Kind::Double { self.widened(mask) } else { mask };
        self.push(Op::Select, kind, &[mask, a, b], false)
    }

    /// AVX2: a mask for lanes of 64 bits.
    fn widened(&mut self, mask: Value) -> Value {
        match &self.nodes[mask as usize] {
            Node { op: Op::Narrow, operands, .. } => operands[0],
            _ => self.one(forms::I32_TO_I64, Kind::Double, mask),
        }
    }

    /// A function of masks.
    pub fn masks(&mut self, op: MaskOp, operands: &[Value]) -> Value {
        if self.isa == Isa::Avx512 {
            return self.push(Op::Masks(op), Kind::Mask, operands, false);
        }
        let [a, b] = match (op, operands) {
            (MaskOp::Not, &[x]) => [x, self.literal(Kind::Mask, 1)],
            (_, &[a, b]) => [a, b],
            _ => unreachable!("a function of one or two masks"),
        };
        let forms = match op {
            MaskOp::And => forms::AND,
            MaskOp::Or => forms::OR,
            MaskOp::Xor | MaskOp::Not => forms::XOR,
        };
        self.commuting(forms, a, b)
    }

    /// A comparison of floats.
    pub fn compare_floats(&mut self, predicate: u8, a: Value, b: Value) -> Value {
        let kind = self.kind(a);
        // Whether it is a NaN, of a literal.
        if let (Op::Literal(bits), true) = (self.nodes[a as usize].op, a == b) {
            let is_nan = match kind {
                Kind::Double => f64::from_bits(bits).is_nan(),
                _ => f32::from_bits(bits as u32).is_nan(),
            };
            let holds = match predicate {
                predicate::EQUAL | predicate::AT_MOST | predicate::AT_LEAST => !is_nan,
                predicate::BELOW | predicate::ABOVE => false,
                predicate::UNORDERED | predicate::NOT_EQUAL | predicate::NOT_AT_MOST => is_nan,
                predicate::NOT_BELOW => true,
                _ => unreachable!("no predicate has this number"),
            };
            return self.literal(Kind::Mask, u64::from(holds));
        }
        self.truth(of_kind(forms::COMPARE, kind), Some(predicate), a, b)
    }

    /// An instruction that compares.
    fn truth(&mut self, form: Form, immediate: Option<u8>, a: Value, b: Value) -> Value {
        let op = Op::Two(form, immediate);
        if self.isa == Isa::Avx2 && self.kind(a) == Kind::Double {
            let wide = self.push(op, Kind::Double, &[a, b], false);
            return self.push(Op::Narrow, Kind::Mask, &[wide], false);
        }
        self.push(op, Kind::Mask, &[a, b], false)
    }

    /// A comparison of integers.
    pub fn compare_ints(&mut self, compare: Compare, is_signed: bool, a: Value, b: Value) -> Value {
        let kind = self.kind(a);
        if self.isa == Isa::Avx512 {
            let forms = if is_signed { forms::COMPARE_INT } else { forms::COMPARE_UNSIGNED };
            let immediate = match compare {
                Compare::Eq => 0,
                Compare::Lt => 1,
                Compare::Le => 2,
                Compare::Ne => 4,
                Compare::Ge => 5,
                Compare::Gt => 6,
            };
            return self.truth(of_kind(forms, kind), Some(immediate), a, b);
        }
        let is_equality = matches!(compare, Compare::Eq | Compare::Ne);
        let (a, b) = if is_signed || is_equality { (a, b) } else { (self.flipped(a), self.flipped(b)) };
        let (forms, a, b, is_negated) = match compare {
            Compare::Eq => (forms::EQUAL_INT, a, b, false),
            Compare::Ne => (forms::EQUAL_INT, a, b, true),
            Compare::Gt => (forms::GREATER_INT, a, b, false),
            Compare::Le => (forms::GREATER_INT, a, b, true),
            Compare::Lt => (forms::GREATER_INT, b, a, false),
            Compare::Ge => (forms::GREATER_INT, b, a, true),
        };
        let mask = self.truth(of_kind(forms, kind), None, a, b);
        if is_negated { self.masks(MaskOp::Not, &[mask]) } else { mask }
    }

    /// The sign bit changed: unsigned order becomes signed order.
    pub fn flipped(&mut self, x: Value) -> Value {
        let kind = self.kind(x);
        let sign = self.literal(kind, sign_bit(kind));
        self.commuting(forms::XOR, x, sign)
    }

    /// Words of a table, at the places that the low four bits of words count.
    pub fn entry(&mut self, place: Value, table: &'static Sixteen) -> Value {
        if self.isa == Isa::Avx512 {
            return self.entry_of_register(place, table);
        }
        // A register holds eight. The fourth bit says which; a selection reads signs.
        let (low, high) = table.split_at(8);
        let (low, high) = (self.entry_of_register(place, low), self.entry_of_register(place, high));
        let is_high = self.one_by(forms::SHIFT_LEFT, 28, place);
        self.push(Op::Select, Kind::Word, &[is_high, high, low], false)
    }

    fn entry_of_register(&mut self, place: Value, words: &'static [u32]) -> Value {
        let known = self.words.get(words).copied();
        let values = known.unwrap_or_else(|| self.push(Op::Words(words), Kind::Word, &[], false));
        self.words.insert(words, values);
        self.push(Op::Entry, Kind::Word, &[place, values], false)
    }

    /// The low halves of 64-bit lanes.
    pub fn narrow(&mut self, x: Value) -> Value {
        match self.isa {
            Isa::Avx512 => self.one(forms::I64_TO_I32, Kind::Word, x),
            Isa::Avx2 => self.push(Op::Narrow, Kind::Word, &[x], false),
        }
    }

    /// The nodes that the innermost loop does not move, and those that it does; without literals, and
    /// without what nothing needs.
    pub fn split(&self) -> [Vec<Value>; 2] {
        let mut is_needed = vec![false; self.nodes.len()];
        for (number, node) in self.nodes.iter().enumerate().rev() {
            is_needed[number] |=
                matches!(node.op, Op::Store { .. } | Op::Fold(_) | Op::Gather { .. } | Op::Point { .. });
            if is_needed[number] {
                node.operands.iter().for_each(|&operand| is_needed[operand as usize] = true);
            }
        }
        let mut parts = [Vec::new(), Vec::new()];
        for (number, node) in self.nodes.iter().enumerate() {
            if is_needed[number] && !node.op.is_literal() {
                parts[usize::from(node.varies)].push(number as Value);
            }
        }
        parts
    }
}
