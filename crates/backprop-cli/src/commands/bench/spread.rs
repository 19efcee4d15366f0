//! How samples lie: median, the range of the middle eighty percent, the least.

/// Samples of one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// A tenth is below.
    pub p10: f64,
    /// Half is below.
    pub median: f64,
    /// A tenth is above.
    pub p90: f64,
}

impl Spread {
    /// The spread of `samples`; NaN where there are none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        // Between neighbours linearly, as NumPy's default.
        let at = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            let [below, above] = [place.floor(), place.ceil()].map(|place| sorted.get(place as usize));
            match (below, above) {
                (Some(below), Some(above)) => below + (above - below) * place.fract(),
                _ => f64::NAN,
            }
        };
        Spread { min: at(0.0), p10: at(0.1), median: at(0.5), p90: at(0.9) }
    }

    /// `11.1 ms   10–90 %: 10.9 ms to 11.8 ms`, of microseconds.
    pub fn time(&self) -> String {
        format!("{}   10–90 %: {} to {}", time(self.median), time(self.p10), time(self.p90))
    }

    /// `0.931   10–90 %: 0.925 to 0.942`
    pub fn ratio(&self) -> String {
        format!("{:.3}   10–90 %: {:.3} to {:.3}", self.median, self.p10, self.p90)
    }
}

/// `1.35 µs`, `11.1 ms`, `2.40 s`, from microseconds.
pub fn time(us: f64) -> String {
    let (x, unit) = match us.abs() {
        size if size < 1e3 => (us, "µs"),
        size if size < 1e6 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    match x.abs() {
        size if size < 9.995 => format!("{x:.2} {unit}"),
        size if size < 99.95 => format!("{x:.1} {unit}"),
        _ => format!("{x:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([1, 2, 4, 8, 16, 32], [0, 10, 50, 90]) = [1., 1.5, 6., 24.]
        let expect = Spread { min: 1.0, p10: 1.5, median: 6.0, p90: 24.0 };
        assert_eq!(Spread::of([32.0, 1.0, 16.0, 2.0, 8.0, 4.0]), expect);
        assert_eq!(Spread::of([3.0]), Spread { min: 3.0, p10: 3.0, median: 3.0, p90: 3.0 });
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn times_have_three_digits() {
        let check = |us: f64, expect: &str| assert_eq!(time(us), expect);
        check(0.0, "0.00 µs");
        check(1.349, "1.35 µs");
        check(11_070.0, "11.1 ms");
        check(417_000.0, "417 ms");
        check(2.4e6, "2.40 s");
        // A difference of two times.
        check(-12_986.1, "-13.0 ms");
    }
}
