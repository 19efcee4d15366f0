//! The curves of edges: where they meet their nodes, and how they run from row to row.

use crate::label::inset;
use crate::layers::Trunk;
use crate::layout::{ARROW, Placed, Point, Rect, Sheet};

/// The x of each edge's head and of each trunk's start.
pub(crate) struct Ports {
    head: Vec<f64>,
    tail: Vec<f64>,
}

impl Sheet<'_> {
    /// (x, row) of an edge's start, bends and end.
    pub(crate) fn stations(&self, edge: usize, ports: &Ports) -> Vec<(f64, usize)> {
        let (trunk, used) = self.layers.lanes[edge];
        let Trunk { source, bends } = &self.layers.trunks[trunk];
        let bend = |&slot: &usize| (self.centres[slot], self.layers.slots[slot].rank);
        let start = (ports.tail[trunk], self.layers.slots[*source].rank);
        // Only the last two: the rest is drawn once, by the longest edge of the trunk.
        let first = if self.draws_trunk(edge) { 0 } else { used.max(1) - 1 };
        let to = self.picture.edges[edge].to;
        let mut points = Vec::with_capacity(used + 2 - first);
        if first == 0 && (used == 0 || self.draws_trunk(edge)) {
            points.push(start);
        }
        points.extend(bends[first..used].iter().map(bend));
        points.push((ports.head[edge], self.layers.slots[to].rank));
        points
    }

    fn draws_trunk(&self, edge: usize) -> bool {
        self.layers.lanes[edge].1 > 0 && self.layers.drawn_by[self.layers.lanes[edge].0] == Some(edge)
    }

    pub(crate) fn routes(&self, ports: &Ports, rows: &[(f64, f64)], boxes: &[Placed]) -> Vec<Vec<Point>> {
        let route = |edge: usize| {
            let points = self.stations(edge, ports);
            let (from, to) = (self.picture.edges[edge].from, self.picture.edges[edge].to);
            let down = self.layers.slots[from].rank < self.layers.slots[to].rank;
            let far = |rect: Rect, bottom: bool| if bottom { rect.y + rect.height } else { rect.y };
            let leave = |row: usize| if down { rows[row].1 } else { rows[row].0 };
            let enter = |row: usize| if down { rows[row].0 } else { rows[row].1 };
            let starts_at_node =
                points.len() >= 2 && (self.layers.lanes[edge].1 == 0 || self.draws_trunk(edge));
            let first = points[0];
            let start = if starts_at_node { far(boxes[from].rect, down) } else { leave(first.1) };
            let end = far(boxes[to].rect, !down) + if down { -ARROW } else { ARROW };
            let mut path = Path::new(Point { x: first.0, y: start });
            for (index, pair) in points.windows(2).enumerate() {
                path.line(leave(pair[0].1));
                let last = index + 2 == points.len();
                // The last curve may use the space that a node lower than its row leaves free, but not the arrow's.
                let arrive = enter(pair[1].1) + if last { if down { -ARROW } else { ARROW } } else { 0.0 };
                path.curve(Point { x: pair[1].0, y: arrive });
            }
            path.line(end);
            path.points
        };
        (0..self.picture.edges.len()).map(route).collect()
    }

    /// Arrows end where they meet their node most directly, but never on one another; lines start in the middle.
    pub(crate) fn ports(&self) -> Ports {
        let picture = self.picture;
        let tail: Vec<f64> = self.layers.trunks.iter().map(|t| self.centres[t.source]).collect();
        let mut head = vec![0.0; picture.edges.len()];
        // For each node what meets its upper and its lower side: (x where it comes from, edge).
        let mut sides = vec![[Vec::new(), Vec::new()]; picture.nodes.len()];
        for (edge, e) in picture.edges.iter().enumerate() {
            let (trunk, used) = self.layers.lanes[edge];
            let before = if used == 0 { e.from } else { self.layers.trunks[trunk].bends[used - 1] };
            let down = self.layers.slots[e.from].rank < self.layers.slots[e.to].rank;
            sides[e.to][usize::from(!down)].push((self.centres[before], Some(edge)));
            let start = &mut sides[e.from][usize::from(down)];
            if !start.iter().any(|&(_, edge)| edge.is_none()) {
                start.push((self.centres[e.from], None));
            }
        }
        for (v, side) in sides.iter_mut().enumerate() {
            for ends in side {
                ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let reach =
                    (self.layers.slots[v].width / 2.0 - inset(picture.nodes[v].kind)).clamp(1.0, 30.0);
                let centre = self.centres[v];
                let wishes: Vec<f64> = ends.iter().map(|e| (e.0 - centre).clamp(-reach, reach)).collect();
                for (&(_, edge), x) in ends.iter().zip(spread(&wishes, reach)) {
                    if let Some(edge) = edge {
                        head[edge] = centre + x;
                    }
                }
            }
        }
        Ports { head, tail }
    }
}

/// Places in −reach ..= reach, in the order of the wishes (ascending), as near to them as an even least distance allows: pool adjacent violators.
fn spread(wishes: &[f64], reach: f64) -> Vec<f64> {
    let distance = (2.0 * reach / (wishes.len().max(2) - 1) as f64).min(11.0);
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (index, wish) in wishes.iter().enumerate() {
        let mut pool = (wish - index as f64 * distance, 1);
        while let Some(&(sum, count)) = pools.last() {
            if sum / count as f64 <= pool.0 / pool.1 as f64 {
                break;
            }
            pool = (pool.0 + sum, pool.1 + count);
            pools.pop();
        }
        pools.push(pool);
    }
    let highest = reach - (wishes.len().max(1) - 1) as f64 * distance;
    let places = pools.iter().flat_map(|&(sum, count)| std::iter::repeat_n(sum / count as f64, count));
    places
        .enumerate()
        .map(|(index, place)| place.clamp(-reach, highest.max(-reach)) + index as f64 * distance)
        .collect()
}

/// A chain of cubic curves.
struct Path {
    points: Vec<Point>,
    at: Point,
}

impl Path {
    fn new(at: Point) -> Path {
        Path { points: vec![at], at }
    }

    /// Straight up or down.
    fn line(&mut self, y: f64) {
        let Point { x, y: from } = self.at;
        if (y - from).abs() < 0.05 {
            return;
        }
        let third = (y - from) / 3.0;
        self.at = Point { x, y };
        self.points.extend([Point { x, y: from + third }, Point { x, y: y - third }, self.at]);
    }

    /// To a point in the next row, upright at both ends.
    fn curve(&mut self, to: Point) {
        if (to.x - self.at.x).abs() < 0.05 {
            return self.line(to.y);
        }
        let middle = (self.at.y + to.y) / 2.0;
        self.points.extend([Point { x: self.at.x, y: middle }, Point { x: to.x, y: middle }, to]);
        self.at = to;
    }
}
