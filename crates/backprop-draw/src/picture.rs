//! What is to be drawn: nodes, edges, and the faults a picture can have.

use std::collections::VecDeque;
use std::fmt;

/// Above this many nodes a drawing is no longer something to look at: [`svg`](crate::svg) refuses, [`dot`](crate::dot) does not.
pub(crate) const MAX_NODES: usize = 5_000;
/// The same bound for edges.
pub(crate) const MAX_EDGES: usize = 25_000;

/// A graph to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Drawn above the graph; empty: none.
    pub title: String,
    /// The nodes; an edge names them by index.
    pub nodes: Vec<Node>,
    /// The edges, along the flow of data. Two equal edges are two slots of one consumer (`x * x`) and are both drawn.
    pub edges: Vec<Edge>,
    /// Whether a line at the bottom explains the shapes and colours that occur.
    pub legend: bool,
}

/// A value or an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name its user gave it, drawn large; `None` for the many that have none.
    pub name: Option<String>,
    /// Lines under the name, from the most to the least important, such as `["matmul", "f32[32, 10]"]`.
    pub label: Vec<String>,
    /// Its shape in the drawing.
    pub kind: Kind,
    /// The block it stands in.
    pub part: Part,
    /// Shown when the mouse rests on the node, such as the line of source that made it.
    pub tooltip: Option<String>,
    /// The layer it belongs to, such as `0.linear`: DOT draws a box around each, SVG names it in the tooltip.
    pub cluster: Option<String>,
}

/// Data flowing from one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Index of the producer.
    pub from: usize,
    /// Index of the consumer.
    pub to: usize,
    /// A few words set beside the edge.
    pub label: Option<String>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Data that comes from outside.
    Input,
    /// A value that training changes.
    Parameter,
    /// A number written in the program.
    Constant,
    /// A computed value.
    Operation,
    /// A computed value that is a result.
    Output,
}

/// Which half of the work a node belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The computation as its user wrote it.
    Forward,
    /// What differentiation added.
    Gradient,
}

impl Picture {
    /// An empty picture with a legend.
    pub fn new(title: &str) -> Picture {
        Picture { title: title.to_owned(), legend: true, ..Picture::default() }
    }

    /// Adds a node and returns its index.
    pub fn node(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds an edge without a label.
    pub fn edge(&mut self, from: usize, to: usize) {
        self.edges.push(Edge { from, to, label: None });
    }

    /// The first rule the picture breaks: every edge joins two of its nodes, and no data flows in a circle.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = self.nodes.len();
        for (edge, e) in self.edges.iter().enumerate() {
            for node in [e.from, e.to] {
                if node >= count {
                    return Err(Error::NoSuchNode { edge, node, nodes: count });
                }
            }
        }
        let mut waits = vec![0usize; count];
        let mut consumers = vec![Vec::new(); count];
        for e in &self.edges {
            waits[e.to] += 1;
            consumers[e.from].push(e.to);
        }
        let mut ready: VecDeque<usize> = (0..count).filter(|&v| waits[v] == 0).collect();
        let mut seen = 0;
        while let Some(v) = ready.pop_front() {
            seen += 1;
            for &to in &consumers[v] {
                waits[to] -= 1;
                if waits[to] == 0 {
                    ready.push_back(to);
                }
            }
        }
        if seen == count { Ok(()) } else { Err(self.circle(&waits)) }
    }

    /// A circle among the nodes that still wait: each has a waiting producer, so walking back must come round.
    fn circle(&self, waits: &[usize]) -> Error {
        let mut producer = vec![None; self.nodes.len()];
        for e in self.edges.iter().filter(|e| waits[e.from] > 0 && waits[e.to] > 0) {
            producer[e.to].get_or_insert(e.from);
        }
        let mut when = vec![None; self.nodes.len()];
        let mut path = Vec::new();
        let mut at = waits.iter().position(|&w| w > 0);
        while let Some(v) = at {
            if let Some(start) = when[v] {
                path.drain(..start);
                break;
            }
            when[v] = Some(path.len());
            path.push(v);
            at = producer[v];
        }
        path.reverse();
        let names = path.iter().map(|&v| self.nodes[v].heading().to_owned()).collect();
        Error::Cycle { nodes: path, names }
    }
}

impl Node {
    /// A node without name, tooltip or cluster.
    pub fn new(kind: Kind, part: Part, label: &[&str]) -> Node {
        let label = label.iter().map(|&line| line.to_owned()).collect();
        Node { name: None, label, kind, part, tooltip: None, cluster: None }
    }

    /// The same node under its user's name.
    pub fn named(mut self, name: &str) -> Node {
        self.name = Some(name.to_owned());
        self
    }

    /// The same node inside a layer.
    pub fn within(mut self, cluster: &str) -> Node {
        self.cluster = Some(cluster.to_owned());
        self
    }

    /// The line that stands for the node in a message.
    pub(crate) fn heading(&self) -> &str {
        self.name.as_deref().or(self.label.first().map(String::as_str)).unwrap_or("")
    }
}

/// Why a picture cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An edge names a node that is not there.
    NoSuchNode {
        /// Index of the edge.
        edge: usize,
        /// The index it names.
        node: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// Data flows in a circle.
    Cycle {
        /// The nodes of one circle, in the direction of its edges.
        nodes: Vec<usize>,
        /// Their names or first lines.
        names: Vec<String>,
    },
    /// Too large to be looked at.
    TooLarge {
        /// What there is too much of: `nodes`, `edges` or `bends`.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are drawn at most.
        limit: usize,
    },
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchNode { edge, node, nodes } => {
                write!(
                    f,
                    "picture: edge {edge} names node {node}, but there are {nodes} nodes (the first is 0)"
                )
            }
            Error::Cycle { nodes, names } => {
                write!(f, "picture: data flows in a circle: ")?;
                for (node, name) in nodes.iter().zip(names).take(8) {
                    write!(f, "{name} (node {node}) -> ")?;
                }
                let dots = if nodes.len() > 8 { "... -> " } else { "" };
                write!(f, "{dots}node {}", nodes.first().copied().unwrap_or(0))
            }
            Error::TooLarge { what, count, limit } => {
                write!(
                    f,
                    "picture: {count} {what} are too many for a drawing (at most {limit})\n  hint: write it as DOT and lay it out with Graphviz's sfdp, or draw one layer of it"
                )
            }
        }
    }
}
