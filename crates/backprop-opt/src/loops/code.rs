//! Scalar code: straight-line instructions on one element, and where they find it.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare, Logic, Unary};
use smallvec::SmallVec;

use super::BufferId;

/// A register: the number of the instruction that computes it.
pub type Reg = u32;

/// For each loop, how many elements apart neighbours are.
pub type Strides = SmallVec<[isize; 4]>;

/// Where elements lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a buffer of the program.
    Buffer(BufferId),
    /// In a local of the nest.
    Local(u32),
}

/// An element for each iteration: `offset + Σ rowᵢ·rows[i] + Σ columnᵢ·columns[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Where.
    pub place: Place,
    /// The element of the first iteration.
    pub offset: isize,
    /// One stride for each row loop.
    pub rows: Strides,
    /// One stride for each column loop.
    pub columns: Strides,
}

/// A scalar instruction. Operands are registers of earlier instructions.
///
/// Its result has the type that [`Code::dtypes`] says. Operands of `Unary`, `Binary`, `Fma` have the type of
/// the result; comparisons take two of one type and give a bool; `Select` takes a bool first. Each result is
/// rounded to its type. Functions (`Exp`, `Tanh`, `Pow`, ...) are those of the backends' one table; integers
/// wrap, and integer division truncates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instr {
    /// The element of access `.0` of the code.
    Load(u32),
    /// An element of access `.0`, as many elements further on as register `index` (an integer) times `stride`.
    /// An index outside 0..`bound` is a fault, and the element then 0.
    Gather {
        /// The access of index 0.
        access: u32,
        /// The index.
        index: Reg,
        /// How many elements apart neighbours are.
        stride: i64,
        /// One past the last index.
        bound: u64,
    },
    /// The number with these bits: of a float, those of its type; of an integer, those of the i64.
    Literal(u64),
    /// Where access `.0` points, as a number (i64): its offset and strides, its place meaning nothing.
    Count(u32),
    /// In a contraction: the sum of products.
    Product,
    /// A function of one operand.
    Unary(Unary, Reg),
    /// A function of two operands. An integer divided by zero is a fault, and the result then 0.
    Binary(Binary, Reg, Reg),
    /// a·b + c, rounded once.
    Fma(Reg, Reg, Reg),
    /// A comparison; of bools, false < true.
    Compare(Compare, Reg, Reg),
    /// A function of truth values; `Not` takes the first operand only.
    Logic(Logic, Reg, Reg),
    /// b where a holds, else c.
    Select(Reg, Reg, Reg),
    /// The operand in another type, converted as Rust's `as` does it.
    Cast(Reg),
}

impl Instr {
    /// The registers that it reads.
    pub fn operands(&self) -> SmallVec<[Reg; 3]> {
        use smallvec::smallvec;
        match *self {
            Instr::Load(_) | Instr::Literal(_) | Instr::Count(_) | Instr::Product => smallvec![],
            Instr::Gather { index, .. } => smallvec![index],
            Instr::Unary(_, x) | Instr::Cast(x) | Instr::Logic(Logic::Not, x, _) => smallvec![x],
            Instr::Binary(_, a, b) | Instr::Compare(_, a, b) | Instr::Logic(_, a, b) => smallvec![a, b],
            Instr::Fma(a, b, c) | Instr::Select(a, b, c) => smallvec![a, b, c],
        }
    }

    /// The same on other registers.
    pub fn map(self, of: impl Fn(Reg) -> Reg) -> Instr {
        match self {
            Instr::Load(_) | Instr::Literal(_) | Instr::Count(_) | Instr::Product => self,
            Instr::Gather { access, index, stride, bound } => {
                Instr::Gather { access, index: of(index), stride, bound }
            }
            Instr::Unary(op, x) => Instr::Unary(op, of(x)),
            Instr::Cast(x) => Instr::Cast(of(x)),
            // The second operand of `Not` means nothing.
            Instr::Logic(Logic::Not, x, _) => Instr::Logic(Logic::Not, of(x), of(x)),
            Instr::Logic(op, a, b) => Instr::Logic(op, of(a), of(b)),
            Instr::Binary(op, a, b) => Instr::Binary(op, of(a), of(b)),
            Instr::Compare(op, a, b) => Instr::Compare(op, of(a), of(b)),
            Instr::Fma(a, b, c) => Instr::Fma(of(a), of(b), of(c)),
            Instr::Select(a, b, c) => Instr::Select(of(a), of(b), of(c)),
        }
    }
}

/// Straight-line code: instructions, the types of their results, and the accesses that they name.
#[derive(Clone, Debug, Default)]
pub struct Code {
    /// The instructions, in order.
    pub instrs: Vec<Instr>,
    /// For each instruction, the type of its result.
    pub dtypes: Vec<DType>,
    /// The accesses of loads, gathers and counts.
    pub accesses: Vec<Access>,
}

impl Code {
    /// Adds an instruction; the register of its result.
    pub fn push(&mut self, instr: Instr, dtype: DType) -> Reg {
        self.instrs.push(instr);
        self.dtypes.push(dtype);
        self.instrs.len() as Reg - 1
    }

    /// Adds an access; its number.
    pub fn access(&mut self, access: Access) -> u32 {
        self.accesses.push(access);
        self.accesses.len() as u32 - 1
    }

    /// The type of a register.
    pub fn dtype(&self, reg: Reg) -> DType {
        self.dtypes[reg as usize]
    }
}

impl Access {
    /// The least and greatest element that it names over loops of these sizes; `None` where a loop is empty.
    pub fn range(&self, rows: &[usize], columns: &[usize]) -> Option<(isize, isize)> {
        let loops = self.rows.iter().zip(rows).chain(self.columns.iter().zip(columns));
        let (mut low, mut high) = (self.offset, self.offset);
        for (&stride, &size) in loops {
            let reach =
                stride.checked_mul(isize::try_from(size).ok()?.checked_sub(1).filter(|&n| n >= 0)?)?;
            low = low.checked_add(reach.min(0))?;
            high = high.checked_add(reach.max(0))?;
        }
        Some((low, high))
    }
}
