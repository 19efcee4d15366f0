//! Functions as straight-line code of lane instructions, for an assembler.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Shl, Shr, Sub};

use backprop_core::DType;

use super::lane::{Float, Int, Mask, Sixteen, Width};

/// The number of an instruction, which is its result's.
pub type LaneReg = u32;

/// An instruction on lanes: floats of one format, integers of as many bits, and masks.
///
/// A register holds what its instruction says; integers and floats lie in the same registers, bit for bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Float: operand `.0` of the function.
    Input(u32),
    /// Float or integer: these bits (of f32, the low half).
    Literal(u64),
    /// Float: a + b.
    Add(LaneReg, LaneReg),
    /// Float: a − b.
    Sub(LaneReg, LaneReg),
    /// Float: a·b.
    Mul(LaneReg, LaneReg),
    /// Float: a/b.
    Div(LaneReg, LaneReg),
    /// Float: a·b + c, rounded once.
    MulAdd(LaneReg, LaneReg, LaneReg),
    /// Float: a·b − c, rounded once.
    MulSub(LaneReg, LaneReg, LaneReg),
    /// Float: c − a·b, rounded once.
    NegMulAdd(LaneReg, LaneReg, LaneReg),
    /// Float: √a.
    Sqrt(LaneReg),
    /// Float: the nearest integer, halves to even.
    Round(LaneReg),
    /// Float: the largest integer not above.
    Floor(LaneReg),
    /// Float: the smallest integer not below.
    Ceil(LaneReg),
    /// Float: a where a < b, else b (as `minps a, b` does it).
    Smaller(LaneReg, LaneReg),
    /// Float: a where a > b, else b (as `maxps a, b` does it).
    Larger(LaneReg, LaneReg),
    /// Float: a·2^⌊n⌋, rounded once: `vscalefps`, or [`Float::scale_in_two`] on other machines,
    /// where [`LaneCode::without_scale`] spells it out.
    Scale(LaneReg, LaneReg),
    /// Integer: a + b.
    AddInt(LaneReg, LaneReg),
    /// Integer: a − b.
    SubInt(LaneReg, LaneReg),
    /// Bits: a & b.
    And(LaneReg, LaneReg),
    /// Bits: a | b.
    Or(LaneReg, LaneReg),
    /// Bits: a ^ b.
    Xor(LaneReg, LaneReg),
    /// Integer: a << n.
    ShiftLeft(LaneReg, u32),
    /// Integer: a >> n, zeros shifted in.
    ShiftRight(LaneReg, u32),
    /// Bits: the value of a table at the place a modulo 16.
    Entry(LaneReg, &'static Sixteen),
    /// Mask: a < b, floats; false where either is NaN.
    Below(LaneReg, LaneReg),
    /// Mask: a ≤ b, floats; false where either is NaN.
    AtMost(LaneReg, LaneReg),
    /// Mask: a = b, floats; false where either is NaN.
    Equal(LaneReg, LaneReg),
    /// Mask: a = b, integers.
    EqualInt(LaneReg, LaneReg),
    /// Mask: both.
    Both(LaneReg, LaneReg),
    /// Mask: either.
    Either(LaneReg, LaneReg),
    /// Mask: not a.
    Not(LaneReg),
    /// Float: b where mask a holds, else c.
    Select(LaneReg, LaneReg, LaneReg),
}

impl Lane {
    /// The registers that it reads, changed by `to`.
    fn renamed(self, to: impl Fn(LaneReg) -> LaneReg) -> Lane {
        use Lane::*;
        match self {
            Input(_) | Literal(_) => self,
            Add(a, b) => Add(to(a), to(b)),
            Sub(a, b) => Sub(to(a), to(b)),
            Mul(a, b) => Mul(to(a), to(b)),
            Div(a, b) => Div(to(a), to(b)),
            MulAdd(a, b, c) => MulAdd(to(a), to(b), to(c)),
            MulSub(a, b, c) => MulSub(to(a), to(b), to(c)),
            NegMulAdd(a, b, c) => NegMulAdd(to(a), to(b), to(c)),
            Sqrt(a) => Sqrt(to(a)),
            Round(a) => Round(to(a)),
            Floor(a) => Floor(to(a)),
            Ceil(a) => Ceil(to(a)),
            Smaller(a, b) => Smaller(to(a), to(b)),
            Larger(a, b) => Larger(to(a), to(b)),
            Scale(a, n) => Scale(to(a), to(n)),
            AddInt(a, b) => AddInt(to(a), to(b)),
            SubInt(a, b) => SubInt(to(a), to(b)),
            And(a, b) => And(to(a), to(b)),
            Or(a, b) => Or(to(a), to(b)),
            Xor(a, b) => Xor(to(a), to(b)),
            ShiftLeft(a, n) => ShiftLeft(to(a), n),
            ShiftRight(a, n) => ShiftRight(to(a), n),
            Entry(a, table) => Entry(to(a), table),
            Below(a, b) => Below(to(a), to(b)),
            AtMost(a, b) => AtMost(to(a), to(b)),
            Equal(a, b) => Equal(to(a), to(b)),
            EqualInt(a, b) => EqualInt(to(a), to(b)),
            Both(a, b) => Both(to(a), to(b)),
            Either(a, b) => Either(to(a), to(b)),
            Not(a) => Not(to(a)),
            Select(a, b, c) => Select(to(a), to(b), to(c)),
        }
    }

    /// The registers that it reads.
    pub fn operands(self) -> smallvec::SmallVec<[LaneReg; 3]> {
        let found = RefCell::new(smallvec::SmallVec::new());
        self.renamed(|register| {
            found.borrow_mut().push(register);
            register
        });
        found.into_inner()
    }

    /// Whether its result is a mask.
    pub fn is_mask(self) -> bool {
        use Lane::*;
        matches!(self, Below(..) | AtMost(..) | Equal(..) | EqualInt(..) | Both(..) | Either(..) | Not(_))
    }
}

/// What computes the lanes that the code leaves out.
#[derive(Clone, Copy, Debug)]
pub enum RareFunction {
    /// Of an f32.
    F32(extern "C" fn(f32) -> f32),
    /// Of an f64.
    F64(extern "C" fn(f64) -> f64),
}

/// The lanes that the code leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Rare {
    /// The mask of those lanes.
    pub mask: LaneReg,
    /// What their results are, of input 0.
    pub function: RareFunction,
}

/// A function as straight-line code: no two instructions are equal, none is unused.
#[derive(Clone, Debug)]
pub struct LaneCode {
    /// f32 or f64.
    pub dtype: DType,
    /// The instructions, in order.
    pub lanes: Vec<Lane>,
    /// The result, a float.
    pub result: LaneReg,
    /// Which lanes of the result are to be replaced.
    pub rare: Option<Rare>,
}

impl LaneCode {
    /// The code of `function`, of as many inputs as it asks for.
    pub(super) fn record<T: Width>(
        function: impl for<'a> FnOnce(&'a Recorder<T>) -> (Reg<'a, T>, Option<(MaskReg<'a, T>, RareFunction)>),
    ) -> LaneCode {
        let recorder = Recorder { lanes: RefCell::default(), width: PhantomData };
        let (result, rare) = function(&recorder);
        let (result, rare) =
            (result.number, rare.map(|(mask, function)| Rare { mask: mask.number, function }));
        let lanes = recorder.lanes.into_inner();
        LaneCode { dtype: T::DTYPE, lanes, result, rare }.pruned()
    }

    /// The same without [`Lane::Scale`].
    pub fn without_scale(&self) -> LaneCode {
        match self.dtype {
            DType::F32 => self.spelled_out::<f32>(),
            _ => self.spelled_out::<f64>(),
        }
    }

    fn spelled_out<T: Width>(&self) -> LaneCode {
        let recorder = Recorder::<T> { lanes: RefCell::default(), width: PhantomData };
        let mut at = Vec::with_capacity(self.lanes.len());
        for &lane in &self.lanes {
            let reg = match lane.renamed(|old| at[old as usize]) {
                Lane::Scale(x, n) => recorder.reg(x).scale_in_two(recorder.reg(n)).number,
                lane => recorder.push(lane).number,
            };
            at.push(reg);
        }
        let rare = self.rare.map(|rare| Rare { mask: at[rare.mask as usize], ..rare });
        let result = at[self.result as usize];
        LaneCode { dtype: self.dtype, lanes: recorder.lanes.into_inner(), result, rare }.pruned()
    }

    /// Without what nothing reads.
    fn pruned(self) -> LaneCode {
        let mut is_read = vec![false; self.lanes.len()];
        is_read[self.result as usize] = true;
        if let Some(rare) = self.rare {
            is_read[rare.mask as usize] = true;
        }
        for (number, lane) in self.lanes.iter().enumerate().rev() {
            if is_read[number] {
                lane.operands().iter().for_each(|&operand| is_read[operand as usize] = true);
            }
        }
        let mut at = vec![0; self.lanes.len()];
        let mut lanes = Vec::new();
        for (number, lane) in self.lanes.into_iter().enumerate().filter(|&(number, _)| is_read[number]) {
            at[number] = lanes.len() as LaneReg;
            lanes.push(lane.renamed(|old| at[old as usize]));
        }
        let rare = self.rare.map(|rare| Rare { mask: at[rare.mask as usize], ..rare });
        LaneCode { dtype: self.dtype, lanes, result: at[self.result as usize], rare }
    }
}

/// Writes down what is done to its registers.
pub struct Recorder<T> {
    lanes: RefCell<Vec<Lane>>,
    width: PhantomData<T>,
}

impl<T: Width> Recorder<T> {
    /// Operand `number` of the function.
    pub fn input(&self, number: u32) -> Reg<'_, T> {
        self.push(Lane::Input(number))
    }

    /// The register of an instruction; an equal one before does as well.
    fn push(&self, lane: Lane) -> Reg<'_, T> {
        let mut lanes = self.lanes.borrow_mut();
        let number = lanes.iter().position(|&other| other == lane).unwrap_or_else(|| {
            lanes.push(lane);
            lanes.len() - 1
        });
        self.reg(number as LaneReg)
    }

    fn reg(&self, number: LaneReg) -> Reg<'_, T> {
        Reg { code: self, number }
    }
}

macro_rules! registers {
    ($($(#[$doc:meta])* $Name:ident)*) => {$(
        $(#[$doc])*
        pub struct $Name<'a, T> {
            code: &'a Recorder<T>,
            number: LaneReg,
        }

        impl<T> Clone for $Name<'_, T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $Name<'_, T> {}
    )*};
}

registers! {
    /// A register that holds floats.
    Reg
    /// A register that holds integers.
    IntReg
    /// A register that holds truth values.
    MaskReg
}

impl<'a, T: Width> Reg<'a, T> {
    fn int(self) -> IntReg<'a, T> {
        IntReg { code: self.code, number: self.number }
    }

    fn mask(self) -> MaskReg<'a, T> {
        MaskReg { code: self.code, number: self.number }
    }
}

macro_rules! operators {
    ($($Name:ident $trait:ident $method:ident = $lane:ident $of:ident;)*) => {$(
        impl<'a, T: Width> $trait for $Name<'a, T> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                operators!($of self.code.push(Lane::$lane(self.number, other.number)))
            }
        }
    )*};
    (float $reg:expr) => { $reg };
    (int $reg:expr) => { $reg.int() };
    (mask $reg:expr) => { $reg.mask() };
}

operators! {
    Reg Add add = Add float;
    Reg Sub sub = Sub float;
    Reg Mul mul = Mul float;
    Reg Div div = Div float;
    IntReg Add add = AddInt int;
    IntReg Sub sub = SubInt int;
    IntReg BitAnd bitand = And int;
    IntReg BitOr bitor = Or int;
    IntReg BitXor bitxor = Xor int;
    MaskReg BitAnd bitand = Both mask;
    MaskReg BitOr bitor = Either mask;
}

impl<T: Width> Neg for Reg<'_, T> {
    type Output = Self;
    fn neg(self) -> Self {
        let bits = self.int();
        (bits ^ bits.lit(T::SIGN)).to_float()
    }
}

impl<T: Width> Not for MaskReg<'_, T> {
    type Output = Self;
    fn not(self) -> Self {
        self.code.push(Lane::Not(self.number)).mask()
    }
}

impl<T: Width> Mask for MaskReg<'_, T> {}

impl<T: Width> Shl<usize> for IntReg<'_, T> {
    type Output = Self;
    fn shl(self, n: usize) -> Self {
        self.code.push(Lane::ShiftLeft(self.number, n as u32)).int()
    }
}

impl<T: Width> Shr<usize> for IntReg<'_, T> {
    type Output = Self;
    fn shr(self, n: usize) -> Self {
        self.code.push(Lane::ShiftRight(self.number, n as u32)).int()
    }
}

impl<'a, T: Width> Int for IntReg<'a, T> {
    type Float = Reg<'a, T>;
    type Mask = MaskReg<'a, T>;
    fn lit(self, value: i64) -> Self {
        let bits = if T::DTYPE == DType::F32 { u64::from(value as u32) } else { value as u64 };
        self.code.push(Lane::Literal(bits)).int()
    }
    fn to_float(self) -> Reg<'a, T> {
        self.code.reg(self.number)
    }
    fn equals(self, other: Self) -> MaskReg<'a, T> {
        self.code.push(Lane::EqualInt(self.number, other.number)).mask()
    }
    fn entry(self, table: &'static Sixteen) -> Self {
        self.code.push(Lane::Entry(self.number, table)).int()
    }
}

impl<'a, T: Width> Float for Reg<'a, T> {
    type Width = T;
    type Int = IntReg<'a, T>;
    type Mask = MaskReg<'a, T>;
    fn lit(self, value: f64) -> Self {
        self.code.push(Lane::Literal(T::bits(value)))
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.code.push(Lane::MulAdd(self.number, a.number, b.number))
    }
    fn mul_sub(self, a: Self, b: Self) -> Self {
        self.code.push(Lane::MulSub(self.number, a.number, b.number))
    }
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        self.code.push(Lane::NegMulAdd(self.number, a.number, b.number))
    }
    fn sqrt(self) -> Self {
        self.code.push(Lane::Sqrt(self.number))
    }
    fn abs(self) -> Self {
        let bits = self.int();
        (bits & bits.lit(!T::SIGN)).to_float()
    }
    fn round_ties_even(self) -> Self {
        self.code.push(Lane::Round(self.number))
    }
    fn floor(self) -> Self {
        self.code.push(Lane::Floor(self.number))
    }
    fn ceil(self) -> Self {
        self.code.push(Lane::Ceil(self.number))
    }
    fn smaller(self, other: Self) -> Self {
        self.code.push(Lane::Smaller(self.number, other.number))
    }
    fn larger(self, other: Self) -> Self {
        self.code.push(Lane::Larger(self.number, other.number))
    }
    fn below(self, other: Self) -> MaskReg<'a, T> {
        self.code.push(Lane::Below(self.number, other.number)).mask()
    }
    fn at_most(self, other: Self) -> MaskReg<'a, T> {
        self.code.push(Lane::AtMost(self.number, other.number)).mask()
    }
    fn equals(self, other: Self) -> MaskReg<'a, T> {
        self.code.push(Lane::Equal(self.number, other.number)).mask()
    }
    fn select(mask: MaskReg<'a, T>, a: Self, b: Self) -> Self {
        a.code.push(Lane::Select(mask.number, a.number, b.number))
    }
    fn to_bits(self) -> IntReg<'a, T> {
        self.int()
    }
    fn scale(self, n: Self) -> Self {
        self.code.push(Lane::Scale(self.number, n.number))
    }
}
