//! The order of each row, with few crossings: barycentre sweeps down and up (Sugiyama et al. 1981), then swaps of neighbours
//! (Gansner et al. 1993). Zones keep their order. The best order seen wins.

use crate::layers::Layers;

const SWEEPS: usize = 24;
/// Swapping neighbours is the dearer step: only where a picture is small enough to be looked at closely.
const MAX_SLOTS_TO_SWAP: usize = 4_000;
/// How often a line within a block counts for one that leaves it: a block should look as it would alone.
const WEIGHT_WITHIN: usize = 3;

/// Fills and sorts the rows.
pub(crate) fn order(layers: &mut Layers) {
    first_order(layers);
    let plain = weigh(layers);
    improve(layers);
    (layers.up, layers.down) = plain;
}

/// Repeats lines within a block in the lists of neighbours; returns the lists as they were.
fn weigh(layers: &mut Layers) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let plain = (layers.up.clone(), layers.down.clone());
    if layers.slots.iter().all(|s| s.zone == 0) {
        return plain;
    }
    let zone = |slot: usize| layers.slots[slot].zone;
    let repeat = |lists: &[Vec<usize>]| -> Vec<Vec<usize>> {
        let times = |a: usize, b: usize| {
            if zone(a) == zone(b) && zone(a) != 1 { WEIGHT_WITHIN } else { 1 }
        };
        let repeated = |(a, list): (usize, &Vec<usize>)| {
            list.iter().flat_map(|&b| std::iter::repeat_n(b, times(a, b))).collect()
        };
        lists.iter().enumerate().map(repeated).collect()
    };
    (layers.up, layers.down) = (repeat(&plain.0), repeat(&plain.1));
    plain
}

fn improve(layers: &mut Layers) {
    let mut position = vec![0; layers.slots.len()];
    layers.rows.iter().for_each(|row| number(row, &mut position));
    let mut best = layers.rows.clone();
    let mut fewest = crossings(layers, &position);
    let sweeps = if layers.slots.len() > 50_000 { 6 } else { SWEEPS };
    for sweep in 0..sweeps {
        if fewest == 0 {
            break;
        }
        let row_count = layers.rows.len();
        let mut rows = std::mem::take(&mut layers.rows);
        for step in 1..row_count {
            let (at, neighbours) =
                if sweep % 2 == 0 { (step, &layers.up) } else { (row_count - 1 - step, &layers.down) };
            sort_row(layers, &mut rows[at], neighbours, &mut position, sweep % 4 >= 2);
        }
        layers.rows = rows;
        if layers.slots.len() <= MAX_SLOTS_TO_SWAP {
            swap_neighbours(layers, &mut position);
        }
        let count = crossings(layers, &position);
        if count < fewest {
            fewest = count;
            best.clone_from(&layers.rows);
        }
    }
    layers.rows = best;
}

fn number(row: &[usize], position: &mut [usize]) {
    for (index, &slot) in row.iter().enumerate() {
        position[slot] = index;
    }
}

/// Rows as a depth-first walk up from the lowest slots meets them: operands from left to right, and a tree without crossings.
fn first_order(layers: &mut Layers) {
    let mut seen = vec![false; layers.slots.len()];
    let mut starts: Vec<usize> = (0..layers.slots.len()).collect();
    starts.sort_by_key(|&s| std::cmp::Reverse(layers.slots[s].rank));
    let mut stack = Vec::new();
    for start in starts {
        stack.push(start);
        while let Some(slot) = stack.pop() {
            if std::mem::replace(&mut seen[slot], true) {
                continue;
            }
            layers.rows[layers.slots[slot].rank].push(slot);
            stack.extend(layers.up[slot].iter().rev().copied().filter(|&s| !seen[s]));
        }
    }
    for row in &mut layers.rows {
        row.sort_by_key(|&s| layers.slots[s].zone);
    }
}

/// Sorts the slots that have neighbours by their mean position, zone by zone; the others keep their places.
fn sort_row(
    layers: &Layers,
    row: &mut [usize],
    neighbours: &[Vec<usize>],
    position: &mut [usize],
    ties_swap: bool,
) {
    let mut start = 0;
    while start < row.len() {
        let zone = layers.slots[row[start]].zone;
        let end = start + row[start..].iter().take_while(|&&s| layers.slots[s].zone == zone).count();
        let places: Vec<usize> = (start..end).filter(|&i| !neighbours[row[i]].is_empty()).collect();
        let mean = |slot: usize| {
            let sum: usize = neighbours[slot].iter().map(|&s| position[s]).sum();
            sum as f64 / neighbours[slot].len() as f64
        };
        let mut keyed: Vec<(f64, usize)> = places.iter().map(|&i| (mean(row[i]), row[i])).collect();
        if ties_swap {
            keyed.reverse();
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (&place, &(_, slot)) in places.iter().zip(&keyed) {
            row[place] = slot;
        }
        start = end;
    }
    number(row, position);
}

fn swap_neighbours(layers: &mut Layers, position: &mut [usize]) {
    let mut rows = std::mem::take(&mut layers.rows);
    for _ in 0..4 {
        let mut swapped = false;
        for row in &mut rows {
            for i in 1..row.len() {
                let (a, b) = (row[i - 1], row[i]);
                if layers.slots[a].zone != layers.slots[b].zone {
                    continue;
                }
                let gain = |list: &[Vec<usize>]| {
                    let (ab, ba) = pair_crossings(&list[a], &list[b], position);
                    ab as i64 - ba as i64
                };
                if gain(&layers.up) + gain(&layers.down) > 0 {
                    row.swap(i - 1, i);
                    position[a] = i;
                    position[b] = i - 1;
                    swapped = true;
                }
            }
        }
        if !swapped {
            break;
        }
    }
    layers.rows = rows;
}

/// Crossings between the lines of two slots as they stand, and with the two exchanged.
fn pair_crossings(left: &[usize], right: &[usize], position: &[usize]) -> (usize, usize) {
    let mut counts = (0, 0);
    for &l in left {
        for &r in right {
            counts.0 += usize::from(position[l] > position[r]);
            counts.1 += usize::from(position[l] < position[r]);
        }
    }
    counts
}

/// All crossings between neighbouring rows, counted with a tree of prefix sums (Barth et al. 2002).
fn crossings(layers: &Layers, position: &[usize]) -> usize {
    let mut total = 0;
    for pair in layers.rows.windows(2) {
        let mut tree = vec![0usize; pair[1].len() + 1];
        let mut entered = 0;
        for &upper in &pair[0] {
            let mut ends: Vec<usize> = layers.down[upper].iter().map(|&s| position[s]).collect();
            ends.sort_unstable();
            for &end in &ends {
                let mut at = end + 1;
                let mut up_to_here = 0;
                while at > 0 {
                    up_to_here += tree[at];
                    at &= at - 1;
                }
                total += entered - up_to_here;
            }
            for &end in &ends {
                let mut at = end + 1;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                entered += 1;
            }
        }
    }
    total
}
