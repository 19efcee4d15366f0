//! Rows of slots: every node, and for every edge that passes through a row a bend that keeps a lane free for it.
//!
//! All edges that leave a node the same way share one chain of bends, the trunk, and branch off it: a value with many consumers is one line,
//! and the number of bends is bounded by nodes × rows rather than edges × rows.

use crate::picture::{Error, Part, Picture};
use crate::rank::{Arc, Blocks};

/// More bends than this are not worth laying out.
const MAX_SLOTS: usize = 250_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Node,
    /// A point of this trunk.
    Bend(usize),
    /// The label of this edge, which is also a point of this trunk.
    Label {
        edge: usize,
        trunk: usize,
    },
    /// The border between the two blocks.
    Wall,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub holds: Holds,
    pub rank: usize,
    /// Slots of a row stand from left to right by zone: forward 0, lanes out of it 1, wall 2, gradient 3.
    pub zone: u8,
    pub width: f64,
    pub height: f64,
}

/// The shared lane of edges that leave one node: `bends` are slots in consecutive rows, nearest to the node first.
#[derive(Clone, Debug)]
pub(crate) struct Trunk {
    pub source: usize,
    pub bends: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Layers {
    /// Slot i is node i as long as there are nodes.
    pub slots: Vec<Slot>,
    /// Slots from left to right.
    pub rows: Vec<Vec<usize>>,
    /// Neighbours in the row above and in the row below.
    pub up: Vec<Vec<usize>>,
    pub down: Vec<Vec<usize>>,
    pub trunks: Vec<Trunk>,
    /// For each edge its trunk and how many bends of it the edge uses.
    pub lanes: Vec<(usize, usize)>,
    /// For each trunk the edge that draws it: the first of its longest.
    pub drawn_by: Vec<Option<usize>>,
}

impl Layers {
    /// `node_sizes[i]` and `label_sizes[e]` are (width, height).
    pub(crate) fn new(
        picture: &Picture,
        blocks: Blocks,
        arcs: &[Arc],
        rank: &[usize],
        node_sizes: &[(f64, f64)],
        label_sizes: &[(f64, f64)],
    ) -> Result<Layers, Error> {
        let gradient = |v: usize| blocks == Blocks::Two && picture.nodes[v].part == Part::Gradient;
        let node_slot = |v: usize| Slot {
            holds: Holds::Node,
            rank: rank[v],
            zone: if gradient(v) { 3 } else { 0 },
            width: node_sizes[v].0,
            height: node_sizes[v].1,
        };
        let row_count = rank.iter().map(|r| r + 1).max().unwrap_or(0);
        let count = picture.nodes.len();
        let mut layers = Layers {
            slots: (0..count).map(node_slot).collect(),
            rows: vec![Vec::new(); row_count],
            up: Vec::new(),
            down: Vec::new(),
            trunks: Vec::new(),
            lanes: vec![(0, 0); arcs.len()],
            drawn_by: Vec::new(),
        };
        // shared[v]: v's trunk within its own block, and the one out of it.
        let mut shared: Vec<[Option<usize>; 2]> = vec![[None; 2]; count];
        for (edge, arc) in arcs.iter().enumerate() {
            let (from, to) = (picture.edges[edge].from, picture.edges[edge].to);
            let leaves = gradient(from) != gradient(to);
            let zone = if leaves { 1 } else { layers.slots[from].zone };
            let span = rank[arc.below] - rank[arc.above] - 1;
            let labelled = picture.edges[edge].label.is_some();
            let trunk = match shared[from][usize::from(leaves)] {
                Some(trunk) if !labelled => trunk,
                _ => {
                    layers.trunks.push(Trunk { source: from, bends: Vec::new() });
                    let trunk = layers.trunks.len() - 1;
                    if !labelled {
                        shared[from][usize::from(leaves)] = Some(trunk);
                    }
                    trunk
                }
            };
            layers.lanes[edge] = (trunk, span);
            for step in layers.trunks[trunk].bends.len()..span {
                let rank = if arc.above == from { rank[from] + 1 + step } else { rank[from] - 1 - step };
                let label = labelled && step == span / 2;
                let holds = if label { Holds::Label { edge, trunk } } else { Holds::Bend(trunk) };
                let (width, height) = if label { label_sizes[edge] } else { (0.0, 0.0) };
                layers.slots.push(Slot { holds, rank, zone, width, height });
                layers.trunks[trunk].bends.push(layers.slots.len() - 1);
            }
            if layers.slots.len() > MAX_SLOTS {
                return Err(Error::TooLarge { what: "bends", count: layers.slots.len(), limit: MAX_SLOTS });
            }
        }
        if blocks == Blocks::Two {
            let wall = |rank| Slot { holds: Holds::Wall, rank, zone: 2, width: 0.0, height: 0.0 };
            layers.slots.extend((0..row_count).map(wall));
        }
        layers.drawn_by = vec![None; layers.trunks.len()];
        for (edge, &(trunk, used)) in layers.lanes.iter().enumerate() {
            if used == layers.trunks[trunk].bends.len() {
                layers.drawn_by[trunk].get_or_insert(edge);
            }
        }
        layers.join(arcs, picture);
        Ok(layers)
    }

    /// The line between two consecutive points of one trunk, or of the wall: to be kept straight.
    pub(crate) fn is_inner(&self, a: usize, b: usize) -> bool {
        let trunk = |slot: usize| match self.slots[slot].holds {
            Holds::Node => None,
            Holds::Bend(trunk) | Holds::Label { trunk, .. } => Some(trunk),
            Holds::Wall => Some(usize::MAX),
        };
        trunk(a).is_some() && trunk(a) == trunk(b)
    }

    fn join(&mut self, arcs: &[Arc], picture: &Picture) {
        self.up = vec![Vec::new(); self.slots.len()];
        self.down = vec![Vec::new(); self.slots.len()];
        let mut pairs = Vec::new();
        for trunk in &self.trunks {
            let source = std::iter::once(&trunk.source);
            pairs.extend(source.chain(&trunk.bends).zip(&trunk.bends).map(|(&a, &b)| (a, b)));
        }
        for edge in 0..arcs.len() {
            let (trunk, used) = self.lanes[edge];
            let last = if used == 0 { picture.edges[edge].from } else { self.trunks[trunk].bends[used - 1] };
            pairs.push((last, picture.edges[edge].to));
        }
        let walls: Vec<usize> =
            (0..self.slots.len()).filter(|&s| self.slots[s].holds == Holds::Wall).collect();
        pairs.extend(walls.windows(2).map(|w| (w[0], w[1])));
        for (a, b) in pairs {
            let (above, below) = if self.slots[a].rank < self.slots[b].rank { (a, b) } else { (b, a) };
            self.down[above].push(below);
            self.up[below].push(above);
        }
    }
}
