//! An axis: its range, its marks at 1, 2 or 5 times a power of ten, and their labels.

/// Values beyond this are left out, so that no difference overflows.
const LARGEST: f64 = 1e300;
/// On a log scale: with a margin at either end, still normal numbers.
const LOG_RANGE: std::ops::Range<f64> = 1e-270..1e270;

/// How values are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub scale: Scale,
    /// Ends of the range, low < high; logarithms for a log scale.
    pub low: f64,
    pub high: f64,
    /// (value, label), within the range and ascending.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis over `low..=high` with about `wanted` marks; `grow` widens the range to the next mark at either end.
    pub(crate) fn new(low: f64, high: f64, scale: Scale, wanted: usize, grow: bool) -> Axis {
        match scale {
            Scale::Linear => linear(low, high, wanted, grow),
            Scale::Log => logarithmic(low, high, wanted),
        }
    }

    /// With marks at whole numbers only: there is no epoch 1.5.
    pub(crate) fn whole(mut self) -> Axis {
        self.ticks.retain(|(value, _)| (value - value.round()).abs() < 1e-6);
        for (value, text) in &mut self.ticks {
            *text = label(value.round(), 1.0);
        }
        self
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// Whether a value can be shown at all.
    pub(crate) fn shows(scale: Scale, value: f64) -> bool {
        match scale {
            Scale::Linear => value.abs() < LARGEST,
            Scale::Log => LOG_RANGE.contains(&value),
        }
    }
}

fn linear(low: f64, high: f64, wanted: usize, grow: bool) -> Axis {
    // A single value gets a range around it; one too narrow for f64 to subdivide does as well.
    let floor = (low.abs().max(high.abs()) * 1e-9).max(1e-290);
    let (low, high) = if high - low > floor {
        (low, high)
    } else if high.abs() < 1e-290 {
        (-1.0, 1.0)
    } else {
        (low - low.abs() * 0.1, high + high.abs() * 0.1)
    };
    let step = nice_step((high - low) / wanted.max(1) as f64);
    // A hair of tolerance: 0.3 / 0.1 is not quite 3.
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    let (low, high) = if grow { (first * step, last * step) } else { (low, high) };
    let count = (last - first) as usize;
    let inside = |v: &f64| *v >= low - step * 1e-6 && *v <= high + step * 1e-6;
    let values = (0..=count).map(|i| (first + i as f64) * step).filter(inside);
    let ticks = values.map(|v| (v, label(v, step))).collect();
    Axis { scale: Scale::Linear, low, high, ticks }
}

fn logarithmic(low: f64, high: f64, wanted: usize) -> Axis {
    let (mut from, mut to) = (low.log10(), high.log10());
    if to - from < 0.05 {
        (from, to) = (from - 0.15, to + 0.15);
    }
    let margin = (to - from) * 0.04;
    (from, to) = (from - margin, to + margin);
    let factors: &[f64] = match to - from {
        decades if decades > 4.0 => &[1.0],
        decades if decades > 1.5 => &[1.0, 3.0],
        _ => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    };
    let skip = ((to - from) / wanted.max(1) as f64).ceil().max(1.0) as i32;
    let powers = (from.floor() as i32..=to.ceil() as i32).filter(|p| p % skip == 0);
    let values = powers.flat_map(|p| factors.iter().map(move |f| (*f, p)));
    let inside = |(f, p): &(f64, i32)| (from..=to).contains(&(f.log10() + f64::from(*p)));
    let tick = |(f, p): (f64, i32)| (f * 10f64.powi(p), label(f * 10f64.powi(p), 10f64.powi(p)));
    let ticks: Vec<_> = values.filter(inside).map(tick).collect();
    if ticks.len() < 2 {
        // Less than the space between two marks: those of a linear axis, at their logarithmic places.
        let mut ticks = linear(10f64.powf(from), 10f64.powf(to), wanted, false).ticks;
        ticks.retain(|t| (from..=to).contains(&t.0.log10()));
        return Axis { scale: Scale::Log, low: from, high: to, ticks };
    }
    Axis { scale: Scale::Log, low: from, high: to, ticks }
}

/// The least of 1, 2, 5 times a power of ten that is no smaller than `raw`.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// A value with the digits that tell it from its neighbours at distance `step`.
fn label(value: f64, step: f64) -> String {
    let size = value.abs();
    if size < step * 1e-6 {
        return "0".to_owned();
    }
    if size >= 1e6 || step < 1e-5 {
        let digits = (size.log10().floor() - step.log10().floor()).clamp(0.0, 15.0) as usize;
        let text = format!("{value:.digits$e}");
        return text.replace('-', "−");
    }
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let check = |low, high, scale, wanted, expect: &str| {
            let axis = Axis::new(low, high, scale, wanted, true);
            assert!(axis.low < axis.high);
            let labels: Vec<_> = axis.ticks.iter().map(|t| t.1.as_str()).collect();
            assert_eq!(labels.join(" "), expect);
        };
        check(0.0, 10.0, Scale::Linear, 5, "0 2 4 6 8 10");
        check(0.13, 2.31, Scale::Linear, 5, "0.0 0.5 1.0 1.5 2.0 2.5".replace("0.0", "0").as_str());
        check(0.1, 0.3, Scale::Linear, 4, "0.10 0.15 0.20 0.25 0.30");
        check(-3.0, 3.0, Scale::Linear, 3, "−4 −2 0 2 4");
        check(5.0, 5.0, Scale::Linear, 2, "4.5 5.0 5.5");
        check(0.0, 0.0, Scale::Linear, 2, "−1 0 1");
        check(5e-324, 1e-323, Scale::Linear, 2, "−1 0 1");
        check(0.0, 2e6, Scale::Linear, 2, "0 1e6 2e6");
        check(-9e299, 9e299, Scale::Linear, 2, "−1e300 0 1e300");
        check(1e-4, 1.0, Scale::Log, 6, "0.0001 0.001 0.01 0.1 1");
        check(0.1, 1.0, Scale::Log, 6, "0.1 0.2 0.3 0.4 0.5 0.6 0.8 1");
        check(0.02, 3.0, Scale::Log, 6, "0.03 0.1 0.3 1 3");
    }

    #[test]
    fn whole_numbers_are_marked_without_a_point() {
        let check = |low, high, expect: &str| {
            let axis = Axis::new(low, high, Scale::Linear, 8, false).whole();
            assert_eq!(axis.ticks.iter().map(|t| t.1.as_str()).collect::<Vec<_>>().join(" "), expect);
        };
        check(1.0, 2.0, "1 2");
        check(1.0, 5.0, "1 2 3 4 5");
        check(1.0, 1.0, "1");
        check(1.0, 30.0, "5 10 15 20 25 30");
    }

    #[test]
    fn place_runs_from_0_to_1() {
        let check =
            |axis: &Axis, value: f64, expect: f64| assert!((axis.place(value) - expect).abs() < 1e-12);
        let linear = Axis::new(0.0, 4.0, Scale::Linear, 4, true);
        check(&linear, 0.0, 0.0);
        check(&linear, 3.0, 0.75);
        let log = Axis::new(0.01, 100.0, Scale::Log, 4, true);
        check(&log, 1.0, 0.5);
    }
}
