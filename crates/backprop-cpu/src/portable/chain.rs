//! Chains: instructions of floats, each read by the next one only, that pass their results in registers.
//!
//! A block goes through a chain a few vectors at a time; so its values need no memory between instructions,
//! and a value that all elements share needs no block.

use backprop_core::DType;
use backprop_core::ops::{Binary, Compare};

use super::block::{Body, for_isa};
use super::tape::Entry;
use super::vector::Vector;
use crate::isa::Isa;

/// An operand of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// The result of the link before.
    Before,
    /// A block.
    Block(Entry),
    /// One element for all.
    One(Entry),
}

/// An instruction of a chain.
#[derive(Clone, Copy)]
pub(super) struct Link {
    op: LinkOp,
    args: [Operand; 4],
    usual: Usual,
}

impl Link {
    pub fn new(op: LinkOp, args: [Operand; 4]) -> Link {
        use Operand::{Before, One};
        let usual = match (op, args) {
            (LinkOp::Choose(how), [Before, One(b), Before, One(d)]) => Usual::Choose(how, b, d),
            (LinkOp::Fma, [Before, One(b), One(c), _]) => Usual::Fma(b, c),
            (LinkOp::Fma | LinkOp::Choose(_), _) => Usual::Not,
            (_, [Before, One(b), ..]) => match op {
                LinkOp::Add => Usual::Add(b),
                LinkOp::Sub => Usual::Sub(b),
                LinkOp::Mul => Usual::Mul(b),
                LinkOp::Maximum => Usual::Maximum(b),
                LinkOp::Minimum => Usual::Minimum(b),
                _ => Usual::Not,
            },
            _ => Usual::Not,
        };
        Link { op, args, usual }
    }
}

/// What most links are like: the result of the link before, and elements that are one for all. It is found with one
/// jump, and takes a register for an element; where an operand may be one thing or another, it takes one for each
/// vector, and there are none left.
#[derive(Clone, Copy)]
enum Usual {
    Add(Entry),
    Sub(Entry),
    Mul(Entry),
    Maximum(Entry),
    Minimum(Entry),
    /// The result, times the first, plus the second.
    Fma(Entry, Entry),
    /// The result where it and the first compare so, else the second.
    Choose(Compare, Entry, Entry),
    Not,
}

/// What a link computes of its operands a, b, c, d.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkOp {
    Add,
    Sub,
    Mul,
    Div,
    Maximum,
    Minimum,
    /// a·b + c, rounded once.
    Fma,
    /// c where a and b compare so, else d.
    Choose(Compare),
}

impl LinkOp {
    /// The function of two operands, if chains have it.
    pub fn of(op: Binary) -> Option<LinkOp> {
        Some(match op {
            Binary::Add => LinkOp::Add,
            Binary::Sub => LinkOp::Sub,
            Binary::Mul => LinkOp::Mul,
            Binary::Div => LinkOp::Div,
            Binary::Maximum => LinkOp::Maximum,
            Binary::Minimum => LinkOp::Minimum,
            Binary::Pow => return None,
        })
    }
}

/// A chain at work.
pub(super) struct Call {
    pub links: *const [Link],
    pub table: *const *mut u8,
    pub out: *mut u8,
    pub n: usize,
}

/// Runs a chain.
///
/// # Safety
/// Blocks hold `n` elements of the chain's type, aligned, and `out` has room for them; it may be one of the
/// blocks.
pub(super) type RunChain = unsafe fn(&Call);

/// What runs chains of floats of this type.
pub(super) fn run(dtype: DType, isa: Isa) -> RunChain {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m256d, __m512, __m512d};
        match (dtype, isa) {
            (DType::F32, Isa::Avx512) => return for_isa::<Chain<__m512, 8>>(isa),
            (DType::F64, Isa::Avx512) => return for_isa::<Chain<__m512d, 8>>(isa),
            (DType::F32, Isa::Avx2) => return for_isa::<Chain<__m256, 8>>(isa),
            (DType::F64, Isa::Avx2) => return for_isa::<Chain<__m256d, 8>>(isa),
            _ => {}
        }
    }
    if dtype == DType::F32 { for_isa::<Chain<f32, 8>>(isa) } else { for_isa::<Chain<f64, 8>>(isa) }
}

struct Chain<V, const N: usize>(std::marker::PhantomData<V>);

impl<V: Vector, const N: usize> Body for Chain<V, N> {
    type Args = Call;
    type Given = ();
    #[inline(always)]
    unsafe fn run(call: &Call) {
        let mut first = 0;
        // SAFETY: the caller's: all pieces together are the block.
        unsafe {
            while first + N * V::WIDTH <= call.n {
                piece::<V, N>(call, first);
                first += N * V::WIDTH;
            }
            while first + V::WIDTH <= call.n {
                piece::<V, 1>(call, first);
                first += V::WIDTH;
            }
            while first < call.n {
                piece::<V::T, 1>(call, first);
                first += 1;
            }
        }
    }
}

/// N vectors from element `first` on, through all links.
///
/// # Safety
/// That of [`RunChain`], for these elements.
#[inline(always)]
unsafe fn piece<V: Vector, const N: usize>(call: &Call, first: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mut value = [V::splat(V::ZERO); N];
        for link in &*call.links {
            value = match link.usual {
                Usual::Add(b) => of_two(LinkOp::Add, value, one(call, b)),
                Usual::Sub(b) => of_two(LinkOp::Sub, value, one(call, b)),
                Usual::Mul(b) => of_two(LinkOp::Mul, value, one(call, b)),
                Usual::Maximum(b) => of_two(LinkOp::Maximum, value, one(call, b)),
                Usual::Minimum(b) => of_two(LinkOp::Minimum, value, one(call, b)),
                Usual::Fma(b, c) => fma(value, one(call, b), one(call, c)),
                Usual::Choose(how, b, d) => V::choose(how, value, one(call, b), value, one(call, d)),
                Usual::Not => any(call, first, link, value),
            };
        }
        let out = call.out.cast::<V::T>().add(first);
        for (i, value) in value.into_iter().enumerate() {
            value.store(out.add(i * V::WIDTH));
        }
    }
}

// No closures below: they would be functions without the instructions that the vectors are of, wherever the compiler
// does not take them apart.

/// What a link computes, of whatever operands.
///
/// # Safety
/// That of [`RunChain`], for the elements from `first` on.
#[inline(always)]
unsafe fn any<V: Vector, const N: usize>(call: &Call, first: usize, link: &Link, value: [V; N]) -> [V; N] {
    let [a, b, c, d] = link.args;
    // SAFETY: the caller's.
    unsafe {
        match link.op {
            LinkOp::Choose(how) => {
                let [a, b, c, d] = operands(call, first, [a, b, c, d], value);
                V::choose(how, a, b, c, d)
            }
            LinkOp::Fma => {
                let [a, b, c] = operands(call, first, [a, b, c], value);
                fma(a, b, c)
            }
            op => {
                let [a, b] = operands(call, first, [a, b], value);
                of_two(op, a, b)
            }
        }
    }
}

/// Operands of a link, `value` the result of the one before.
///
/// # Safety
/// That of [`RunChain`], for the elements from `first` on.
#[inline(always)]
unsafe fn operands<V: Vector, const N: usize, const M: usize>(
    call: &Call,
    first: usize,
    args: [Operand; M],
    value: [V; N],
) -> [[V; N]; M] {
    let mut found = [value; M];
    for at in 0..M {
        // SAFETY: the caller's.
        unsafe {
            match args[at] {
                Operand::Before => {}
                Operand::Block(entry) => found[at] = block(call, first, entry),
                Operand::One(entry) => found[at] = one(call, entry),
            }
        }
    }
    found
}

/// N vectors of a block, from element `first` on.
///
/// # Safety
/// That of [`RunChain`], for these elements.
#[inline(always)]
unsafe fn block<V: Vector, const N: usize>(call: &Call, first: usize, entry: Entry) -> [V; N] {
    // SAFETY: the caller's.
    unsafe {
        let block = call.table.add(entry as usize).read().cast::<V::T>().add(first);
        let mut x = [V::splat(V::ZERO); N];
        for (i, x) in x.iter_mut().enumerate() {
            *x = V::load(block.add(i * V::WIDTH));
        }
        x
    }
}

/// One element, for all.
///
/// # Safety
/// That of [`RunChain`].
#[inline(always)]
unsafe fn one<V: Vector, const N: usize>(call: &Call, entry: Entry) -> [V; N] {
    // SAFETY: the caller's.
    unsafe { [V::splat(call.table.add(entry as usize).read().cast::<V::T>().read()); N] }
}

/// a·b + c, rounded once.
///
/// # Safety
/// That of [`Vector`].
#[inline(always)]
unsafe fn fma<V: Vector, const N: usize>(mut a: [V; N], b: [V; N], c: [V; N]) -> [V; N] {
    for i in 0..N {
        // SAFETY: the caller's.
        a[i] = unsafe { a[i].fma(b[i], c[i]) };
    }
    a
}

/// A link of two operands.
///
/// # Safety
/// That of [`Vector`].
#[inline(always)]
unsafe fn of_two<V: Vector, const N: usize>(op: LinkOp, mut a: [V; N], b: [V; N]) -> [V; N] {
    macro_rules! each {
        ($function:ident) => {
            for i in 0..N {
                // SAFETY: the caller's.
                a[i] = unsafe { a[i].$function(b[i]) };
            }
        };
    }
    match op {
        LinkOp::Add => each!(add),
        LinkOp::Sub => each!(sub),
        LinkOp::Mul => each!(mul),
        LinkOp::Div => each!(div),
        LinkOp::Maximum => each!(maximum),
        LinkOp::Minimum => each!(minimum),
        LinkOp::Fma | LinkOp::Choose(_) => unreachable!("they have more operands"),
    }
    a
}
