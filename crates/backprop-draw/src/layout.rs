//! From a picture to boxes and curves.
//!
//! No curve crosses a box of another node: within a row a line runs straight down its own lane, and it turns only in the free space
//! between rows.

use crate::layers::{Holds, Layers, Trunk};
use crate::measure::{Weight, shorten, width};
use crate::picture::{Error, Kind, MAX_EDGES, MAX_NODES, Node, Part, Picture};
use crate::rank::Blocks;
use crate::{order, place, rank};

/// Room for the head of an arrow, in pixels.
pub(crate) const ARROW: f64 = 7.0;
/// A line of text longer than this ends in an ellipsis; the tooltip has it whole.
const MAX_LINE: f64 = 230.0;
const MARGIN: f64 = 24.0;
const PANEL_PADDING: f64 = 18.0;
const CAPTION_HEIGHT: f64 = 28.0;
const LEGEND_HEIGHT: f64 = 24.0;
pub(crate) const TITLE_SIZE: f64 = 18.0;
pub(crate) const SMALL_SIZE: f64 = 11.5;

/// Where everything of a picture goes, in pixels from the top left.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Width of the drawing.
    pub width: f64,
    /// Height of the drawing.
    pub height: f64,
    /// Everything that takes room: nodes first (box i is node i), then labels, title, captions, legend.
    pub boxes: Vec<Placed>,
    /// One for each edge: a start, then for each cubic curve two control points and its end. An edge that shares the lane of a longer one
    /// from the same node starts where it leaves it.
    pub routes: Vec<Vec<Point>>,
    /// The grounds of the two parts, where a picture is drawn in two blocks.
    pub grounds: Vec<(Part, Rect)>,
}

/// A box and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// What stands there.
    pub item: Item,
    /// Where.
    pub rect: Rect,
}

/// What can take room in a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The node of this index.
    Node(usize),
    /// The label of the edge of this index.
    EdgeLabel(usize),
    /// The picture's title.
    Title,
    /// The heading of a part.
    Caption(Part),
    /// A shape of the legend and its word.
    LegendKind(Kind),
    /// A line style of the legend and its word.
    LegendPart(Part),
}

/// An upright rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// Left side.
    pub x: f64,
    /// Top side.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// A point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

/// One line of a node's text.
pub(crate) struct Line {
    pub text: String,
    pub size: f64,
    pub weight: Weight,
    /// Its share of the node's height.
    pub height: f64,
}

/// Finds a place for everything.
///
/// # Errors
///
/// An edge without a node, a circle, or a picture too large to be looked at (more than 5,000 nodes, 25,000 edges, or too many edges that pass
/// rows by).
pub fn layout(picture: &Picture) -> Result<Layout, Error> {
    for (what, count, limit) in [("nodes", picture.nodes.len(), MAX_NODES), ("edges", picture.edges.len(), MAX_EDGES)] {
        if count > limit {
            return Err(Error::TooLarge { what, count, limit });
        }
    }
    picture.check()?;
    let node_sizes: Vec<_> = picture.nodes.iter().map(node_size).collect();
    let label_sizes: Vec<_> = picture.edges.iter().map(|e| label_size(e.label.as_deref())).collect();
    let blocks = rank::blocks(picture);
    let arcs = rank::arcs(picture, blocks);
    let ranks = rank::ranks(picture, blocks, &arcs);
    let mut layers = Layers::new(picture, blocks, &arcs, &ranks, &node_sizes, &label_sizes)?;
    order::order(&mut layers);
    let centres = place::place(&layers);
    Ok(Sheet { picture, layers, centres, two: blocks == Blocks::Two }.finish())
}

/// The pairs of boxes that share some area.
pub fn overlaps(layout: &Layout) -> Vec<(usize, usize)> {
    let rect = |i: usize| layout.boxes[i].rect;
    let mut by_left: Vec<usize> = (0..layout.boxes.len()).collect();
    by_left.sort_by(|&a, &b| rect(a).x.total_cmp(&rect(b).x));
    let mut found = Vec::new();
    for (index, &a) in by_left.iter().enumerate() {
        let right = rect(a).x + rect(a).width;
        for &b in by_left[index + 1..].iter().take_while(|&&b| rect(b).x < right) {
            if rect(a).y < rect(b).y + rect(b).height && rect(b).y < rect(a).y + rect(a).height {
                found.push((a.min(b), a.max(b)));
            }
        }
    }
    found.sort_unstable();
    found
}

/// What is written in a node, from top to bottom.
pub(crate) fn lines(node: &Node) -> Vec<Line> {
    let line = |text: &str, size, weight, height| Line { text: shorten(text, size, weight, MAX_LINE), size, weight, height };
    let name = node.name.iter().map(|name| line(name, 15.0, Weight::Bold, 19.0));
    let rest = node.label.iter().enumerate().map(|(index, text)| match index {
        0 if node.name.is_none() => line(text, 13.0, Weight::Regular, 17.0),
        _ => line(text, SMALL_SIZE - 0.5, Weight::Regular, 15.0),
    });
    name.chain(rest).collect()
}

/// How far the outline of a kind eats into its box at either side.
pub(crate) fn inset(kind: Kind) -> f64 {
    match kind {
        Kind::Input => 16.0,
        Kind::Parameter => 14.0,
        Kind::Constant => 4.0,
        Kind::Operation => 8.0,
        Kind::Output => 11.0,
    }
}

fn node_size(node: &Node) -> (f64, f64) {
    let lines = lines(node);
    let text = lines.iter().map(|l| width(&l.text, l.size, l.weight)).fold(0.0, f64::max);
    let height: f64 = lines.iter().map(|l| l.height).sum();
    let border = if node.kind == Kind::Output { 6.0 } else { 0.0 };
    ((text + 2.0 * inset(node.kind) + 8.0).max(46.0).ceil(), (height + 12.0 + border).max(30.0).ceil())
}

/// The text of an edge's label as it is drawn.
pub(crate) fn label_text(label: &str) -> String {
    shorten(label, SMALL_SIZE, Weight::Regular, MAX_LINE)
}

fn label_size(label: Option<&str>) -> (f64, f64) {
    let text = |label| width(&label_text(label), SMALL_SIZE, Weight::Regular).ceil() + 8.0;
    label.map_or((0.0, 0.0), |label| (text(label), 18.0))
}

/// The word under which the legend shows a kind.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "input",
        Kind::Parameter => "parameter",
        Kind::Constant => "constant",
        Kind::Operation => "operation",
        Kind::Output => "output",
    }
}

/// The word for a part.
pub(crate) fn part_word(part: Part) -> &'static str {
    match part {
        Part::Forward => "forward",
        Part::Gradient => "gradient",
    }
}

/// A layered picture with horizontal places, on its way to a layout.
struct Sheet<'a> {
    picture: &'a Picture,
    layers: Layers,
    centres: Vec<f64>,
    two: bool,
}

/// The x of each edge's head and of each trunk's start.
struct Ports {
    head: Vec<f64>,
    tail: Vec<f64>,
}

impl Sheet<'_> {
    fn finish(mut self) -> Layout {
        let title_height = if self.picture.title.is_empty() { 0.0 } else { 40.0 };
        let (frame, caption) = if self.two { (PANEL_PADDING, CAPTION_HEIGHT) } else { (0.0, 0.0) };
        let slots = self.layers.slots.iter().zip(&self.centres);
        let left = slots.clone().map(|(s, x)| x - s.width / 2.0).fold(f64::INFINITY, f64::min);
        let shift = if left.is_finite() { MARGIN + frame - left } else { 0.0 };
        let drawn = slots.map(|(s, x)| x + s.width / 2.0 + shift).fold(MARGIN, f64::max) + frame + MARGIN;
        self.centres.iter_mut().for_each(|x| *x += shift);

        let title = width(&self.picture.title, TITLE_SIZE, Weight::Bold).ceil();
        let mut sheet_width = drawn.max(title + 2.0 * MARGIN).max(320.0);
        let legend = self.legend(sheet_width);
        sheet_width = legend.iter().map(|(_, r)| r.x + r.width + MARGIN).fold(sheet_width, f64::max);
        // A picture narrower than its title or legend stands in the middle.
        let spare = (sheet_width - drawn) / 2.0;
        self.centres.iter_mut().for_each(|x| *x += spare);

        let ports = self.ports();
        let rows = self.rows(&ports, MARGIN + title_height + caption + if self.two { 10.0 } else { 0.0 });
        let bottom = rows.last().map_or(MARGIN + title_height, |r| r.1) + if self.two { PANEL_PADDING } else { 0.0 };

        let mut boxes: Vec<Placed> = (0..self.picture.nodes.len()).map(|v| self.placed(v, Item::Node(v), &rows)).collect();
        for (slot, held) in self.layers.slots.iter().enumerate() {
            if let Holds::Label { edge, .. } = held.holds {
                boxes.push(self.placed(slot, Item::EdgeLabel(edge), &rows));
            }
        }
        if !self.picture.title.is_empty() {
            let rect = Rect { x: (sheet_width - title) / 2.0, y: MARGIN - 6.0, width: title, height: 26.0 };
            boxes.push(Placed { item: Item::Title, rect });
        }
        let top = MARGIN + title_height;
        let grounds = self.grounds(top, bottom, sheet_width);
        for &(part, ground) in &grounds {
            let width = width(part_word(part), 13.0, Weight::Bold).ceil();
            let rect = Rect { x: ground.x + 14.0, y: ground.y + 8.0, width, height: 18.0 };
            boxes.push(Placed { item: Item::Caption(part), rect });
        }
        let legend_rows = legend.iter().map(|(_, r)| r.y + r.height).fold(0.0, f64::max);
        for (item, rect) in legend {
            boxes.push(Placed { item, rect: Rect { y: rect.y + bottom + 16.0, ..rect } });
        }
        let height = bottom + if legend_rows > 0.0 { legend_rows + 16.0 + MARGIN / 2.0 } else { MARGIN };
        let routes = self.routes(&ports, &rows, &boxes);
        Layout { width: sheet_width.ceil(), height: height.ceil(), boxes, routes, grounds }
    }

    fn placed(&self, slot: usize, item: Item, rows: &[(f64, f64)]) -> Placed {
        let s = &self.layers.slots[slot];
        let (top, bottom) = rows[s.rank];
        let (x, y) = (self.centres[slot] - s.width / 2.0, (top + bottom - s.height) / 2.0);
        Placed { item, rect: Rect { x, y, width: s.width, height: s.height } }
    }

    /// Top and bottom of each row. The more a gap has to carry sideways, the higher it is.
    fn rows(&self, ports: &Ports, start: f64) -> Vec<(f64, f64)> {
        let count = self.layers.rows.len();
        let mut reach = vec![0.0f64; count];
        for edge in 0..self.picture.edges.len() {
            let points = self.stations(edge, ports);
            for pair in points.windows(2) {
                let gap = pair[0].1.min(pair[1].1);
                reach[gap] = reach[gap].max((pair[0].0 - pair[1].0).abs());
            }
        }
        let mut y = start;
        let mut rows = Vec::with_capacity(count);
        for (row, reach) in self.layers.rows.iter().zip(reach) {
            let height = row.iter().map(|&s| self.layers.slots[s].height).fold(0.0, f64::max);
            rows.push((y, y + height));
            y += height + 34.0 + (reach * 0.09).min(56.0);
        }
        rows
    }

    /// (x, row) of an edge's start, bends and end.
    fn stations(&self, edge: usize, ports: &Ports) -> Vec<(f64, usize)> {
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

    fn routes(&self, ports: &Ports, rows: &[(f64, f64)], boxes: &[Placed]) -> Vec<Vec<Point>> {
        let route = |edge: usize| {
            let points = self.stations(edge, ports);
            let (from, to) = (self.picture.edges[edge].from, self.picture.edges[edge].to);
            let down = self.layers.slots[from].rank < self.layers.slots[to].rank;
            let far = |rect: Rect, bottom: bool| if bottom { rect.y + rect.height } else { rect.y };
            let leave = |row: usize| if down { rows[row].1 } else { rows[row].0 };
            let enter = |row: usize| if down { rows[row].0 } else { rows[row].1 };
            let starts_at_node = points.len() >= 2 && (self.layers.lanes[edge].1 == 0 || self.draws_trunk(edge));
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
    fn ports(&self) -> Ports {
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
                let reach = (self.layers.slots[v].width / 2.0 - inset(picture.nodes[v].kind)).clamp(1.0, 30.0);
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

    /// The panels on either side of the wall.
    fn grounds(&self, top: f64, bottom: f64, sheet_width: f64) -> Vec<(Part, Rect)> {
        let wall = self.layers.slots.iter().position(|s| s.holds == Holds::Wall).map(|s| self.centres[s]);
        let Some(wall) = wall.filter(|_| self.two) else { return Vec::new() };
        let rect = |left: f64, right: f64| Rect { x: left, y: top, width: right - left, height: bottom - top };
        let edge = MARGIN / 2.0;
        vec![(Part::Forward, rect(edge, wall - 5.0)), (Part::Gradient, rect(wall + 5.0, sheet_width - edge))]
    }

    /// The entries of the legend, in rows that start at y = 0.
    fn legend(&self, sheet_width: f64) -> Vec<(Item, Rect)> {
        if !self.picture.legend {
            return Vec::new();
        }
        let nodes = &self.picture.nodes;
        let kinds = [Kind::Input, Kind::Parameter, Kind::Constant, Kind::Operation, Kind::Output];
        let mut items: Vec<(Item, &str)> = Vec::new();
        items.extend(kinds.iter().filter(|&&k| nodes.iter().any(|n| n.kind == k)).map(|&k| (Item::LegendKind(k), kind_word(k))));
        if nodes.iter().any(|n| n.part == Part::Gradient) {
            items.extend([Part::Forward, Part::Gradient].map(|p| (Item::LegendPart(p), part_word(p))));
        }
        let (mut x, mut y) = (MARGIN, 0.0);
        let mut placed = Vec::new();
        for (item, word) in items {
            let width = 40.0 + width(word, SMALL_SIZE, Weight::Regular).ceil();
            if x > MARGIN && x + width > sheet_width - MARGIN {
                (x, y) = (MARGIN, y + LEGEND_HEIGHT);
            }
            placed.push((item, Rect { x, y, width, height: 20.0 }));
            x += width + 18.0;
        }
        placed
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
    places.enumerate().map(|(index, place)| place.clamp(-reach, highest.max(-reach)) + index as f64 * distance).collect()
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
