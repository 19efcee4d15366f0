//! What every drawing must satisfy, on random graphs and on faulty ones.

use backprop_draw::{
    Edge, Error, Item, Kind, Layout, Node, Part, Picture, Point, Rect, dot, layout, overlaps, svg,
};

/// A small generator of our own: the same pictures on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

const KINDS: [Kind; 5] = [Kind::Input, Kind::Parameter, Kind::Constant, Kind::Operation, Kind::Output];

/// `reach`: how far back a node looks for its operands. `gradient_from`: the first node of the gradient part.
fn random(seed: u64, count: usize, reach: usize, gradient_from: usize) -> Picture {
    let mut dice = Dice(seed);
    let mut picture = Picture::new(&format!("seed {seed}"));
    for v in 0..count {
        let part = if v < gradient_from { Part::Forward } else { Part::Gradient };
        let ty = format!("f32[{}, B*{}]", dice.below(10_000), v);
        let label = ["matmul", "add", "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", "i"][dice.below(4)];
        let mut node = Node::new(KINDS[dice.below(5)], part, &[label, &ty][..dice.below(3)]);
        if dice.below(4) == 0 {
            node.name = Some(["∂loss/∂w", "β₁", "学習率", "hidden activation"][dice.below(4)].to_owned());
        }
        picture.node(node);
        for _ in 0..dice.below(4).min(v) {
            let from = v - 1 - dice.below(reach.min(v));
            let label = (dice.below(6) == 0).then(|| format!("slot {}", dice.below(3)));
            picture.edges.push(Edge { from, to: v, label });
        }
    }
    picture
}

fn shapes() -> Vec<Picture> {
    let mut shapes = vec![Picture::new("empty"), Picture::default()];
    for seed in 0..12 {
        for (count, reach) in [(1, 1), (2, 1), (7, 3), (40, 11), (97, 97), (200, 20)] {
            shapes.push(random(seed, count, reach, count));
            shapes.push(random(seed, count, reach, count / 2));
            shapes.push(random(seed, count, reach, 0));
            // A forward part that needs a gradient: both parts in one block.
            let mut mixed = random(seed, count, reach, 0);
            mixed.nodes.iter_mut().step_by(3).for_each(|n| n.part = Part::Forward);
            shapes.push(mixed);
        }
    }
    shapes
}

#[test]
fn no_two_boxes_overlap_and_none_leaves_the_sheet() {
    for picture in shapes() {
        let layout = layout(&picture).expect("a sound picture");
        let named: Vec<_> =
            overlaps(&layout).into_iter().map(|(a, b)| (layout.boxes[a], layout.boxes[b])).collect();
        assert!(named.is_empty(), "{}: {named:?}", picture.title);
        for placed in &layout.boxes {
            let Rect { x, y, width, height } = placed.rect;
            let inside = x >= 0.0 && y >= 0.0 && x + width <= layout.width && y + height <= layout.height;
            assert!(inside, "{}: {placed:?} of {} x {}", picture.title, layout.width, layout.height);
        }
    }
}

#[test]
fn overlaps_finds_shared_area_only() {
    let rect = |x, y, width, height| Rect { x, y, width, height };
    let check = |a: Rect, b: Rect, expect: &[(usize, usize)]| {
        let boxes = [a, b].map(|rect| backprop_draw::Placed { item: Item::Title, rect }).to_vec();
        let layout = Layout { width: 9.0, height: 9.0, boxes, routes: Vec::new(), grounds: Vec::new() };
        assert_eq!(overlaps(&layout), expect);
    };
    check(rect(0.0, 0.0, 2.0, 2.0), rect(1.0, 1.0, 3.0, 1.0), &[(0, 1)]);
    check(rect(3.0, 0.0, 2.0, 2.0), rect(0.0, 0.0, 9.0, 9.0), &[(0, 1)]);
    check(rect(0.0, 0.0, 2.0, 2.0), rect(2.0, 0.0, 2.0, 2.0), &[]);
    check(rect(0.0, 0.0, 2.0, 2.0), rect(1.0, 5.0, 2.0, 2.0), &[]);
}

/// Points along a route, a few for each of its curves.
fn trace(route: &[Point]) -> Vec<Point> {
    let mut out = vec![route[0]];
    for i in (1..route.len()).step_by(3) {
        let (a, b, c, d) = (route[i - 1], route[i], route[i + 1], route[i + 2]);
        for step in 1..=12 {
            let t = f64::from(step) / 12.0;
            let s = 1.0 - t;
            let mix = |a, b, c, d| s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d;
            out.push(Point { x: mix(a.x, b.x, c.x, d.x), y: mix(a.y, b.y, c.y, d.y) });
        }
    }
    out
}

#[test]
fn every_edge_is_drawn_from_its_source_to_its_target_around_all_other_boxes() {
    for picture in shapes() {
        let layout = layout(&picture).expect("a sound picture");
        assert_eq!(layout.routes.len(), picture.edges.len());
        let traces: Vec<_> = layout.routes.iter().map(|r| trace(r)).collect();
        for (edge, points) in picture.edges.iter().zip(&traces) {
            let near = |p: Point, r: Rect, by: f64| {
                p.x >= r.x - by && p.x <= r.x + r.width + by && p.y >= r.y - by && p.y <= r.y + r.height + by
            };
            let end = points[points.len() - 1];
            assert!(
                near(end, layout.boxes[edge.to].rect, 7.5),
                "{}: {edge:?} ends at {end:?}",
                picture.title
            );
            // It starts at its source, or on a line from the same source.
            let mates = picture.edges.iter().zip(&layout.routes).filter(|(e, _)| e.from == edge.from);
            let joins = mates.flat_map(|(_, route)| route).any(|p| *p == points[0]);
            assert!(
                near(points[0], layout.boxes[edge.from].rect, 0.1) || joins,
                "{}: {edge:?}",
                picture.title
            );
            for (v, placed) in layout.boxes.iter().enumerate() {
                if v == edge.from || v == edge.to || !matches!(placed.item, Item::Node(_)) {
                    continue;
                }
                let hit = points.iter().find(|&&p| near(p, placed.rect, -0.5));
                assert!(hit.is_none(), "{}: {edge:?} runs through {placed:?} at {hit:?}", picture.title);
            }
        }
        let drawn = svg(&picture).expect("a sound picture");
        assert_eq!(drawn.matches("<path class=\"bp-edge").count(), picture.edges.len());
    }
}

#[test]
fn a_row_of_the_gradient_stands_right_of_the_forward_part() {
    for seed in 0..12 {
        let picture = random(seed, 60, 12, 30);
        let layout = layout(&picture).expect("a sound picture");
        let [(_, left), (_, right)] = layout.grounds[..] else { panic!("two grounds: {:?}", layout.grounds) };
        for (node, placed) in picture.nodes.iter().zip(&layout.boxes) {
            let ground = if node.part == Part::Forward { left } else { right };
            let Rect { x, width, .. } = placed.rect;
            assert!(
                x >= ground.x && x + width <= ground.x + ground.width,
                "seed {seed}: {node:?} {placed:?} {ground:?}"
            );
        }
    }
}

#[test]
fn equal_pictures_give_equal_drawings() {
    let check = |seed| {
        let make = || random(seed, 120, 30, 70);
        assert_eq!(svg(&make()), svg(&make()));
        assert_eq!(dot(&make()), dot(&make()));
    };
    (0..4).for_each(check);
}

/// Elements open and close in order, attributes are quoted, and no bare `<` or `&` is left.
fn well_formed(text: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (words, tag) = rest.split_at(start);
        for entity in words.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|e| entity.starts_with(e));
            known.then_some(()).ok_or_else(|| format!("bare & before {entity:.20}"))?;
        }
        let end = tag.find('>').ok_or("unclosed tag")?;
        let inside = &tag[1..end];
        if inside.contains('<') || inside.matches('"').count() % 2 == 1 {
            return Err(format!("bad tag {inside}"));
        }
        if let Some(name) = inside.strip_prefix('/') {
            let opened = open.pop();
            (opened == Some(name)).then_some(()).ok_or_else(|| format!("{opened:?} closed by {name}"))?;
        } else if !inside.ends_with('/') {
            open.push(inside.split_whitespace().next().unwrap_or(""));
        }
        rest = &tag[end + 1..];
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(()) } else { Err(format!("left open: {open:?}")) }
}

#[test]
fn drawings_are_well_formed_whatever_the_text() {
    for picture in shapes() {
        assert_eq!(well_formed(&svg(&picture).expect("a sound picture")), Ok(()));
    }
    let nasty = "</text><script>&\"'\u{0}\u{1b}\n]]> --";
    let mut picture = Picture::new(nasty);
    let mut node = Node::new(Kind::Input, Part::Forward, &[nasty, nasty]).named(nasty).within(nasty);
    node.tooltip = Some(nasty.to_owned());
    picture.node(node.clone());
    picture.node(node);
    picture.edges.push(Edge { from: 0, to: 1, label: Some(nasty.to_owned()) });
    let drawn = svg(&picture).expect("a sound picture");
    assert_eq!(well_formed(&drawn), Ok(()));
    assert!(!drawn.contains("<script") && !drawn.contains('\0'), "{drawn}");
    let text = dot(&picture);
    let unescaped = text.replace("\\\\", "").replace("\\\"", "");
    assert!(unescaped.lines().all(|line| line.matches('"').count() % 2 == 0), "{text}");
}

#[test]
fn a_faulty_picture_is_an_error_that_says_where() {
    let check = |nodes: usize, edges: &[(usize, usize)], expect: &str| {
        let mut picture = Picture::new("faulty");
        for v in 0..nodes {
            picture.node(Node::new(Kind::Operation, Part::Forward, &[&format!("u{v}")]));
        }
        edges.iter().for_each(|&(from, to)| picture.edge(from, to));
        let error = svg(&picture).expect_err("a fault");
        assert_eq!(error.to_string(), expect);
        assert!(dot(&picture).ends_with("}\n"));
    };
    check(2, &[(0, 1), (1, 5)], "picture: edge 1 names node 5, but there are 2 nodes (the first is 0)");
    check(0, &[(0, 0)], "picture: edge 0 names node 0, but there are 0 nodes (the first is 0)");
    check(1, &[(0, 0)], "picture: data flows in a circle: u0 (node 0) -> node 0");
    check(
        5,
        &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)],
        "picture: data flows in a circle: u2 (node 2) -> u3 (node 3) -> u1 (node 1) -> node 2",
    );
    check(
        5_001,
        &[],
        "picture: 5001 nodes are too many for a drawing (at most 5000)\n  \
         hint: write it as DOT and lay it out with Graphviz's sfdp, or draw one layer of it",
    );
}

#[test]
fn too_many_bends_are_an_error() {
    let mut picture = Picture::new("every node feeds the last");
    for v in 0..2_000 {
        picture.node(Node::new(Kind::Operation, Part::Forward, &["add"]));
        if v > 0 {
            picture.edge(v - 1, v);
            picture.edge(v - 1, 1_999 + usize::from(v == 0));
        }
    }
    picture.edges.retain(|e| e.from < e.to);
    let error = svg(&picture).expect_err("too many bends");
    assert!(matches!(error, Error::TooLarge { what: "bends", .. }), "{error}");
}

#[test]
fn deep_and_wide_pictures_need_no_stack() {
    let draw = || {
        for deep in [true, false] {
            let mut picture = Picture::new("chain or fan");
            for v in 0..3_000 {
                picture.node(Node::new(Kind::Operation, Part::Forward, &["add"]));
                if v > 0 {
                    picture.edge(if deep { v - 1 } else { 0 }, v);
                }
            }
            assert_eq!(overlaps(&layout(&picture).expect("a sound picture")), []);
        }
    };
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(draw).expect("a thread");
    thread.join().expect("no overflow");
}
