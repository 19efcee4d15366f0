//! Copies of a loop's code side by side: node by node, each for the next vector.
//!
//! A processor waits with an instruction until its operands are there, and has room for some hundred that
//! wait. In a long function each instruction waits for the one before, so that code after code fills the room
//! with a few chains; side by side, the same room holds the beginnings of more chains, and they run at once.

use super::schedule::Schedule;
use super::vector::{Op, Value, VectorCode};
use crate::native::Isa;

/// The numbers of copies that are tried, the best first.
const CHOICES: [usize; 2] = [4, 2];

/// Shorter code has its chains side by side as it is; and of longer code, copies would fill the room for
/// instructions as well.
const NODES: std::ops::Range<usize> = 12..250;

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
            let copies = copied(code, nodes, n);
            let schedule = Schedule::new(code, copies, &is_kept, n);
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
    Schedule::new(code, nodes.to_vec(), is_kept, 1)
}

/// The nodes, `n` times: each in all its copies before the next one.
fn copied(code: &mut VectorCode, nodes: &[Value], n: usize) -> Vec<Value> {
    let mut copy_of = vec![vec![None; code.nodes.len()]; n];
    let mut all = Vec::with_capacity(n * nodes.len());
    for &node in nodes {
        for (number, copy_of) in copy_of.iter_mut().enumerate() {
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
    }
    all
}
