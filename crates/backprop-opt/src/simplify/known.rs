//! Calls that are there already, by hash: what merging equal ones looks them up in.

use std::hash::{Hash, Hasher};

use backprop_core::ops::{Binary, Compare, Logic};
use backprop_core::{Array, Data, Node, NodeId, Op, Records, ValueId};

/// Nodes by the hash of their calls. An open table of eight bytes a place: a graph's worth of them must not
/// weigh more than the graph.
pub(super) struct Known {
    places: Vec<(u32, NodeId)>,
    n: usize,
}

const EMPTY: NodeId = NodeId::MAX;

impl Known {
    /// A table with room for `n` calls.
    pub fn new(n: usize) -> Known {
        Known { places: vec![(0, EMPTY); (n + n / 4).next_power_of_two().max(16)], n: 0 }
    }

    /// The node that makes this call.
    pub fn get(&self, hash: u64, records: &Records, op: &Op, inputs: &[ValueId]) -> Option<NodeId> {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (tag, id) = self.places[at];
            if id == EMPTY {
                return None;
            }
            if tag == tag_of(hash) && is_same(records.node(id), op, inputs) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a node.
    pub fn insert(&mut self, hash: u64, id: NodeId, records: &Records) {
        if self.n * 5 >= self.places.len() * 4 {
            let old = std::mem::replace(self, Known::new(self.places.len()));
            for (_, id) in old.places.into_iter().filter(|place| place.1 != EMPTY) {
                let node = records.node(id);
                self.place(self::hash(&node.op, &node.inputs), id);
            }
        }
        self.place(hash, id);
    }

    fn place(&mut self, hash: u64, id: NodeId) {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        while self.places[at].1 != EMPTY {
            at = (at + 1) & mask;
        }
        self.places[at] = (tag_of(hash), id);
        self.n += 1;
    }
}

/// The half of the hash that does not say the place.
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Whether equal calls are one: all but what is given, drawn, or missing.
pub(super) fn is_merged(op: &Op) -> bool {
    !matches!(op, Op::Input(_) | Op::Uniform(_) | Op::Normal(_) | Op::Missing(_) | Op::IllCall(_))
}

/// Whether the operands may change places without changing a bit. Not those of `maximum`: of +0 and −0 it
/// may take either.
fn is_commutative(op: &Op) -> bool {
    matches!(
        op,
        Op::Binary(Binary::Add | Binary::Mul)
            | Op::Compare(Compare::Eq | Compare::Ne)
            | Op::Logic(Logic::And | Logic::Or)
    )
}

fn is_same(node: &Node, op: &Op, inputs: &[ValueId]) -> bool {
    let same_inputs = node.inputs[..] == *inputs
        || (is_commutative(op) && inputs.len() == 2 && node.inputs[..] == [inputs[1], inputs[0]]);
    same_inputs && node.op == *op
}

/// The hash of a call.
pub(super) fn hash(op: &Op, inputs: &[ValueId]) -> u64 {
    let mut hasher = Mix(0);
    match op {
        // Its own hash knows only the sizes.
        Op::Constant(constant) => hash_elements(&constant.array, &mut hasher),
        op => op.hash(&mut hasher),
    }
    match *inputs {
        [a, b] if is_commutative(op) => hasher.write_u64(u64::from(a.min(b)) << 32 | u64::from(a.max(b))),
        _ => inputs.iter().for_each(|&input| hasher.write_u32(input)),
    }
    hasher.finish()
}

/// As many elements as tell constants apart.
fn hash_elements(array: &Array, hasher: &mut Mix) {
    const MOST: usize = 4096;
    (array.dtype(), array.sizes()).hash(hasher);
    match array.data() {
        Data::F32(x) => x.iter().take(MOST).for_each(|x| x.to_bits().hash(hasher)),
        Data::F64(x) => x.iter().take(MOST).for_each(|x| x.to_bits().hash(hasher)),
        Data::I32(x) => x[..x.len().min(MOST)].hash(hasher),
        Data::I64(x) => x[..x.len().min(MOST)].hash(hasher),
        Data::U32(x) => x[..x.len().min(MOST)].hash(hasher),
        Data::U8(x) => x[..x.len().min(MOST)].hash(hasher),
        Data::Bool(x) => x[..x.len().min(MOST)].hash(hasher),
    }
}

/// A quick hash: what is hashed are small numbers, and nobody chooses them to collide.
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // 2⁶⁴ divided by the golden ratio; both halves of the product are kept.
        let product =
            u128::from(self.0.rotate_left(5) ^ word ^ 0x243f_6a88_85a3_08d3) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u8(&mut self, x: u8) {
        self.write_u64(x.into());
    }
    fn write_u32(&mut self, x: u32) {
        self.write_u64(x.into());
    }
    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }
    fn write_isize(&mut self, x: isize) {
        self.write_u64(x as u64);
    }

    fn finish(&self) -> u64 {
        // The low half says the place.
        (self.0 ^ self.0 >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(32)
    }
}
