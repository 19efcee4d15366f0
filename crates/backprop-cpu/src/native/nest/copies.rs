//! Copies of a loop's code side by side: node by node, each for the next vector.
//!
//! A processor waits with an instruction until its operands are there, and has room for some hundred that
//! wait. In a long function each instruction waits for the one before, so that code after code fills the room
//! with a few chains; side by side, the same room holds the beginnings of more chains, and they run at once.
//! Not all in step: a function multiplies for a while, then it adds, in units of their own, so of four copies two
//! are some way behind the others (exp, log and tanh gain 5 to 10 % on Zen 4).

use super::schedule::Schedule;
use super::vector::{Op, Value, VectorCode};
use crate::native::Isa;

/// The numbers of copies that are tried, the best first.
const CHOICES: [usize; 2] = [4, 2];

/// Shorter code has its chains side by side as it is; and of longer code, copies would fill the room for
/// instructions as well.
const NODES: std::ops::Range<usize> = 12..250;

/// Two copies go in step; the next two are behind by this part of the code.
const BEHIND: usize = 4;

/// As many copies as a loop has room for: up to `most` in an iteration, of which their number is a divisor, and with
/// `spare` registers, of vectors and of masks, for what lives within it.
pub fn side_by_side(
    code: &mut VectorCode,
    nodes: &[Value],
    most: usize,
    spare: [usize; 2],
    is_kept: impl Fn(Value) -> bool,
) -> Schedule {
    // What sets a pointer has no copy: the pointer is one.
    let is_copied = |&node: &Value| !matches!(code.nodes[node as usize].op, Op::Point { .. });
    if NODES.contains(&nodes.len()) && nodes.iter().all(is_copied) {
        for n in CHOICES.into_iter().filter(|n| most.is_multiple_of(*n)) {
            let n_before = code.nodes.len();
            let (all, copies) = copied(code, nodes, n);
            let schedule = Schedule::of_copies(code, all, copies, &is_kept);
            let mut pressure = schedule.pressure(code);
            if code.isa == Isa::Avx2 {
                pressure = [pressure[0] + pressure[1], 0];
            }
            if (0..2).all(|class| pressure[class] <= spare[class]) {
                return schedule;
            }
            code.nodes.truncate(n_before);
        }
    }
    Schedule::new(code, nodes.to_vec(), is_kept)
}

/// The nodes, `n` times, and of which copy each is.
fn copied(code: &mut VectorCode, nodes: &[Value], n: usize) -> (Vec<Value>, Vec<u8>) {
    let mut order: Vec<(usize, usize)> =
        (0..nodes.len()).flat_map(|at| (0..n).map(move |number| (at, number))).collect();
    order.sort_by_key(|&(at, number)| at + number / 2 * nodes.len() / BEHIND);
    let mut copy_of = vec![vec![None; code.nodes.len()]; n];
    let mut all = Vec::with_capacity(order.len());
    for &(at, number) in &order {
        let (node, copy_of) = (nodes[at], &mut copy_of[number]);
        let copy = if number == 0 {
            node
        } else {
            let mut copy = code.nodes[node as usize].clone();
            for operand in &mut copy.operands {
                *operand = copy_of[*operand as usize].unwrap_or(*operand);
            }
            code.nodes.push(copy);
            code.nodes.len() as Value - 1
        };
        copy_of[node as usize] = Some(copy);
        all.push(copy);
    }
    (all, order.into_iter().map(|(_, number)| number as u8).collect())
}
