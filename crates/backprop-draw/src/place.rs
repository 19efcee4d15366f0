//! Horizontal places: Brandes and Köpf 2001, "Fast and simple horizontal coordinate assignment". Four extreme layouts, each aligning slots with
//! the median of their neighbours (above or below, leftmost or rightmost first), are averaged. Lanes come out straight.
//! Blocks are compacted by longest paths in the graph of blocks rather than by the paper's classes and shifts, which had an error (Brandes,
//! Walter and Zink 2020).

use crate::layers::{Holds, Layers};
use std::collections::HashSet;

/// The centre of each slot. Neighbours in a row keep the distance that `gap` asks for.
pub(crate) fn place(layers: &Layers) -> Vec<f64> {
    let count = layers.slots.len();
    let mut position = vec![0; count];
    for row in &layers.rows {
        for (index, &slot) in row.iter().enumerate() {
            position[slot] = index;
        }
    }
    let conflicts = conflicts(layers, &position);
    let mut four = Vec::with_capacity(4);
    for upwards in [false, true] {
        for mirrored in [false, true] {
            let mut rows = layers.rows.clone();
            if mirrored {
                rows.iter_mut().for_each(|row| row.reverse());
            }
            let root = align(layers, &rows, upwards, &conflicts);
            let mut x = compact(layers, &rows, &root);
            if mirrored {
                x.iter_mut().for_each(|x| *x = -*x);
            }
            four.push((x, mirrored));
        }
    }
    balance(layers, four)
}

/// Free space between two neighbours of a row.
fn gap(a: Holds, b: Holds) -> f64 {
    match (a, b) {
        (Holds::Wall, _) | (_, Holds::Wall) => 34.0,
        (Holds::Bend(_), Holds::Bend(_)) => 14.0,
        (Holds::Node, Holds::Node) => 26.0,
        _ => 16.0,
    }
}

/// Lines (upper, lower) that would bend a lane if they were straight, because they cross it.
fn conflicts(layers: &Layers, position: &[usize]) -> HashSet<(usize, usize)> {
    let mut marked = HashSet::new();
    for lower in layers.rows.iter().skip(1) {
        let mut left_bound = 0;
        let mut scanned = 0;
        for (index, &slot) in lower.iter().enumerate() {
            let inner = layers.up[slot].iter().copied().find(|&u| layers.is_inner(u, slot));
            let mut right_bound = usize::MAX;
            if let Some(upper) = inner {
                if position[upper] < left_bound {
                    marked.insert((upper, slot)); // two lanes cross: the later one bends
                    continue;
                }
                right_bound = position[upper];
            } else if index + 1 < lower.len() {
                continue;
            }
            for &v in &lower[scanned..=index] {
                for &u in &layers.up[v] {
                    let crosses = position[u] < left_bound || position[u] > right_bound;
                    if crosses && !layers.is_inner(u, v) {
                        marked.insert((u, v));
                    }
                }
            }
            scanned = index + 1;
            if right_bound != usize::MAX {
                left_bound = right_bound;
            }
        }
    }
    marked
}

/// The root of each slot's block: the slots that stand exactly below each other.
fn align(
    layers: &Layers,
    rows: &[Vec<usize>],
    upwards: bool,
    conflicts: &HashSet<(usize, usize)>,
) -> Vec<usize> {
    let count = layers.slots.len();
    let mut position = vec![0; count];
    for row in rows {
        for (index, &slot) in row.iter().enumerate() {
            position[slot] = index;
        }
    }
    let neighbours = if upwards { &layers.down } else { &layers.up };
    let mut root: Vec<usize> = (0..count).collect();
    let mut taken = vec![false; count];
    for step in 0..rows.len() {
        let row = &rows[if upwards { rows.len() - 1 - step } else { step }];
        let mut free_from = 0; // the first position in the row before that no line has used or passed
        for &slot in row {
            let inner = neighbours[slot].iter().copied().find(|&n| layers.is_inner(n, slot));
            let mut list = inner.map_or_else(|| neighbours[slot].clone(), |n| vec![n]);
            list.sort_unstable_by_key(|&n| position[n]);
            if list.is_empty() {
                continue;
            }
            for middle in [(list.len() - 1) / 2, list.len() / 2] {
                let other = list[middle];
                let line = if upwards { (slot, other) } else { (other, slot) };
                if root[slot] == slot
                    && !taken[other]
                    && position[other] >= free_from
                    && !conflicts.contains(&line)
                {
                    root[slot] = root[other];
                    taken[other] = true;
                    free_from = position[other] + 1;
                }
            }
        }
    }
    root
}

/// Places blocks as far left as they go, then closes gaps to their right.
fn compact(layers: &Layers, rows: &[Vec<usize>], root: &[usize]) -> Vec<f64> {
    let count = layers.slots.len();
    let mut after: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
    let mut waits = vec![0usize; count];
    for row in rows {
        for pair in row.windows(2) {
            let (a, b) = (&layers.slots[pair[0]], &layers.slots[pair[1]]);
            let distance = (a.width + b.width) / 2.0 + gap(a.holds, b.holds);
            after[root[pair[0]]].push((root[pair[1]], distance));
            waits[root[pair[1]]] += 1;
        }
    }
    let mut order: Vec<usize> = (0..count).filter(|&s| root[s] == s && waits[s] == 0).collect();
    let mut x = vec![0.0f64; count];
    let mut next = 0;
    while next < order.len() {
        let block = order[next];
        next += 1;
        for &(right, distance) in &after[block] {
            x[right] = x[right].max(x[block] + distance);
            waits[right] -= 1;
            if waits[right] == 0 {
                order.push(right);
            }
        }
    }
    for &block in order.iter().rev() {
        let room =
            after[block].iter().map(|&(right, distance)| x[right] - distance).fold(f64::INFINITY, f64::min);
        if room.is_finite() {
            x[block] = x[block].max(room);
        }
    }
    (0..count).map(|slot| x[root[slot]]).collect()
}

/// Lays the four over the narrowest of them and takes the mean of the middle two for each slot, which keeps every distance.
fn balance(layers: &Layers, mut four: Vec<(Vec<f64>, bool)>) -> Vec<f64> {
    let extent = |x: &[f64]| {
        layers.slots.iter().zip(x).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (slot, &x)| {
            (low.min(x - slot.width / 2.0), high.max(x + slot.width / 2.0))
        })
    };
    let width = |x: &[f64]| extent(x).1 - extent(x).0;
    let narrowest = four.iter().map(|(x, _)| x).min_by(|a, b| width(a).total_cmp(&width(b)));
    let target = narrowest.map_or((0.0, 0.0), |x| extent(x));
    for (x, mirrored) in &mut four {
        let own = extent(x);
        let shift = if *mirrored { target.1 - own.1 } else { target.0 - own.0 };
        x.iter_mut().for_each(|x| *x += shift);
    }
    let middle = |slot: usize| {
        let mut places: Vec<f64> = four.iter().map(|(x, _)| x[slot]).collect();
        places.sort_by(f64::total_cmp);
        (places[1] + places[2]) / 2.0
    };
    (0..layers.slots.len()).map(middle).collect()
}
