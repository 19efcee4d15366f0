//! From a picture to boxes and curves.
//!
//! No curve crosses a box of another node: within a row a line runs straight down its own lane, and it turns only in the free space
//! between rows.

use crate::label::{SMALL_SIZE, TITLE_SIZE, kind_word, label_size, node_size, part_word, title_text};
use crate::layers::{Holds, Layers};
use crate::measure::{Weight, width};
use crate::picture::{Error, Kind, MAX_EDGES, MAX_NODES, Part, Picture};
use crate::rank::Blocks;
use crate::route::Ports;
use crate::{order, place, rank};

/// Room for the head of an arrow, in pixels.
pub(crate) const ARROW: f64 = 7.0;
const MARGIN: f64 = 24.0;
const PANEL_PADDING: f64 = 18.0;
const CAPTION_HEIGHT: f64 = 28.0;
const LEGEND_HEIGHT: f64 = 24.0;
/// A picture narrower than this may be widened to hold its legend.
const SMALL_SHEET: f64 = 540.0;

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

/// Finds a place for everything.
///
/// # Errors
///
/// An edge without a node, a circle, or a picture too large to be looked at (more than 5,000 nodes, 25,000 edges, or too many edges that pass
/// rows by).
pub fn layout(picture: &Picture) -> Result<Layout, Error> {
    for (what, count, limit) in
        [("nodes", picture.nodes.len(), MAX_NODES), ("edges", picture.edges.len(), MAX_EDGES)]
    {
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

/// A layered picture with horizontal places, on its way to a layout.
pub(crate) struct Sheet<'a> {
    pub(crate) picture: &'a Picture,
    pub(crate) layers: Layers,
    pub(crate) centres: Vec<f64>,
    two: bool,
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

        let title = width(&title_text(&self.picture.title), TITLE_SIZE, Weight::Bold).ceil();
        // A small picture is given the width of its legend in one row.
        let one_row =
            self.legend(SMALL_SHEET).iter().map(|(_, r)| r.x + r.width + MARGIN).fold(0.0, f64::max);
        let mut sheet_width = drawn.max(title + 2.0 * MARGIN).max(one_row);
        let legend = self.legend(sheet_width);
        sheet_width = legend.iter().map(|(_, r)| r.x + r.width + MARGIN).fold(sheet_width, f64::max);
        // A picture narrower than its title or legend stands in the middle.
        let spare = (sheet_width - drawn) / 2.0;
        self.centres.iter_mut().for_each(|x| *x += spare);

        let ports = self.ports();
        let rows = self.rows(&ports, MARGIN + title_height + caption + if self.two { 10.0 } else { 0.0 });
        let bottom =
            rows.last().map_or(MARGIN + title_height, |r| r.1) + if self.two { PANEL_PADDING } else { 0.0 };

        let mut boxes: Vec<Placed> =
            (0..self.picture.nodes.len()).map(|v| self.placed(v, Item::Node(v), &rows)).collect();
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

    /// The panels on either side of the wall.
    fn grounds(&self, top: f64, bottom: f64, sheet_width: f64) -> Vec<(Part, Rect)> {
        let wall = self.layers.slots.iter().position(|s| s.holds == Holds::Wall).map(|s| self.centres[s]);
        let Some(wall) = wall.filter(|_| self.two) else {
            return Vec::new();
        };
        let rect =
            |left: f64, right: f64| Rect { x: left, y: top, width: right - left, height: bottom - top };
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
        items.extend(
            kinds
                .iter()
                .filter(|&&k| nodes.iter().any(|n| n.kind == k))
                .map(|&k| (Item::LegendKind(k), kind_word(k))),
        );
        if nodes.iter().any(|n| n.part == Part::Gradient) {
            items.extend([Part::Forward, Part::Gradient].map(|p| (Item::LegendPart(p), part_word(p))));
        }
        let (mut x, mut y) = (MARGIN, 0.0);
        let mut placed = Vec::new();
        for (item, word) in items {
            let width = 34.0 + width(word, SMALL_SIZE, Weight::Regular).ceil();
            if x > MARGIN && x + width > sheet_width - MARGIN {
                (x, y) = (MARGIN, y + LEGEND_HEIGHT);
            }
            placed.push((item, Rect { x, y, width, height: 20.0 }));
            x += width + 14.0;
        }
        placed
    }
}
