//! Which value lies in which register. Straight-line code is gone through once; where no register is free,
//! the value goes that is needed last (Belady 1966), to the frame if it lies nowhere else.

use super::vector::Value;
use crate::native::Isa;

/// Vector registers are 0 to 31, mask registers 32 to 39.
pub type Register = u8;

/// The first mask register.
pub const MASKS: Register = 32;
/// The mask register that marks the lanes in use.
pub const TAIL: Register = MASKS + 7;

/// Where a value lies besides a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Nowhere.
    None,
    /// It is a literal: it is made again.
    Literal,
    /// In the frame, at this offset.
    Frame(i32),
}

/// Not needed any more.
pub const NEVER: u32 = u32::MAX;
/// Needed, but not in the code at hand.
pub const LATER: u32 = u32::MAX - 1;

/// The state of all registers.
pub struct Registers {
    owner: [Option<Value>; 40],
    /// Those that code may use.
    usable: u64,
    /// Those that hold what they hold until they are let go of.
    pinned: u64,
    /// Those that the instruction at hand uses.
    busy: u64,
    register: Vec<Option<Register>>,
    /// For each value, where else it lies.
    pub home: Vec<Home>,
    /// For each value, where the code at hand needs it next.
    pub next: Vec<u32>,
}

impl Registers {
    /// All free, for so many values.
    pub fn new(isa: Isa, n_values: usize) -> Registers {
        let usable = match isa {
            // k0 cannot mark lanes, and k7 marks those in use.
            Isa::Avx512 => 0xffff_ffff | 0x7e << MASKS,
            Isa::Avx2 => 0xffff,
        };
        Registers {
            owner: [None; 40],
            usable,
            pinned: 0,
            busy: 0,
            register: vec![None; n_values],
            home: vec![Home::None; n_values],
            next: vec![NEVER; n_values],
        }
    }

    /// Where a value is.
    pub fn of(&self, value: Value) -> Option<Register> {
        self.register[value as usize]
    }

    /// The number of vector registers, or of mask registers, that are not pinned.
    pub fn n_unpinned(&self, of_masks: bool) -> usize {
        (self.usable & !self.pinned & class(of_masks)).count_ones() as usize
    }

    /// A register for the instruction at hand, and the value that has to leave it.
    pub fn take(&mut self, is_mask: bool) -> (Register, Option<Value>) {
        let choice = self.usable & !self.pinned & !self.busy & class(is_mask);
        let registers = (0..40).filter(|&register| choice >> register & 1 == 1);
        let urgency = |register: &Register| match self.owner[*register as usize] {
            None => u64::MAX,
            // Of two that are needed equally late, one that need not be written.
            Some(value) => {
                let is_kept = self.home[value as usize] != Home::None;
                u64::from(self.next[value as usize]) << 1 | u64::from(is_kept)
            }
        };
        let register =
            registers.max_by_key(urgency).expect("an instruction needs fewer registers than there are");
        let left = self.owner[register as usize];
        if let Some(value) = left {
            self.free(value);
        }
        self.busy |= 1 << register;
        (register, left)
    }

    /// The value is in a register.
    pub fn put(&mut self, value: Value, register: Register) {
        self.owner[register as usize] = Some(value);
        self.register[value as usize] = Some(register);
    }

    /// The register is used by the instruction at hand.
    pub fn hold(&mut self, register: Register) {
        self.busy |= 1 << register;
    }

    /// The instruction at hand does not use the register any more.
    pub fn let_go(&mut self, register: Register) {
        self.busy &= !(1 << register);
    }

    /// The value leaves its register.
    pub fn free(&mut self, value: Value) {
        if let Some(register) = self.register[value as usize].take() {
            self.owner[register as usize] = None;
        }
    }

    /// The instruction at hand is done.
    pub fn done(&mut self) {
        self.busy = 0;
    }

    /// The register keeps what it holds.
    pub fn pin(&mut self, register: Register) {
        self.pinned |= 1 << register;
    }

    /// The register is free for others, whatever it held.
    pub fn unpin(&mut self, register: Register) {
        self.pinned &= !(1 << register);
        if let Some(value) = self.owner[register as usize] {
            self.free(value);
        }
    }

    /// Whether the register keeps what it holds.
    pub fn is_pinned(&self, register: Register) -> bool {
        self.pinned >> register & 1 == 1
    }

    /// Every value that is not pinned leaves its register.
    pub fn clear(&mut self) {
        for register in 0..40 {
            if let Some(value) = self.owner[register].filter(|_| self.pinned >> register & 1 == 0) {
                self.free(value);
            }
        }
    }

    /// The registers that hold something.
    pub fn in_use(&self) -> Vec<Register> {
        (0..40)
            .filter(|&register| self.owner[register as usize].is_some() || self.is_pinned(register))
            .collect()
    }

    /// The values in registers that are not pinned.
    pub fn unpinned_values(&self) -> Vec<Value> {
        let free = (0..40).filter(|&register| !self.is_pinned(register));
        free.filter_map(|register| self.owner[register as usize]).collect()
    }
}

/// Vector registers, or mask registers.
fn class(of_masks: bool) -> u64 {
    if of_masks { !0 << MASKS } else { !(!0 << MASKS) }
}
