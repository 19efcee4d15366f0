//! An engine's results against the reference: |ours − ref| ≤ 2·bound for every element that does not
//! depend on rounding.

use std::panic::{AssertUnwindSafe, catch_unwind};

use backprop_core::Array;

use super::case::Case;
use super::double::Double;
use super::real::Real;
use super::reference::values::{Elements, Values};
use super::reference::{Evaluation, evaluate};
use super::subjects::Subject;
use super::ulps::Promise;

/// What was found wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the graph.
    pub seed: u64,
    /// Who.
    pub subject: &'static str,
    /// In which run.
    pub run: usize,
    /// In which output, if one is wrong.
    pub output: Option<usize>,
    /// What.
    pub what: String,
}

/// What a comparison counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Elements that were held to their bounds.
    pub elements: usize,
    /// Elements that were left out.
    pub left_out: usize,
    /// Elements with a bound above a thousandth of their size and of 10⁻⁶: little is said of them.
    pub loose: usize,
    /// The largest |ours − ref|/bound.
    pub worst: f64,
}

impl Compared {
    /// Adds what another comparison counted.
    pub fn add(&mut self, other: Compared) {
        self.elements += other.elements;
        self.left_out += other.left_out;
        self.loose += other.loose;
        self.worst = self.worst.max(other.worst);
    }
}

/// The reference of every run of a case.
///
/// # Errors
/// The reference finds a fault: the generator is wrong.
pub fn references(case: &Case, promise: Promise) -> Result<Vec<Evaluation>, String> {
    let evaluate = |inputs| evaluate(&case.records, inputs, &case.outputs, promise);
    caught(|| case.runs.iter().map(|inputs| evaluate(inputs)).collect())?
}

/// Runs `subject` on a case and holds it to the references of its promise.
///
/// # Errors
/// The first element that is wrong, a fault, or a panic.
pub fn hold(case: &Case, subject: &dyn Subject, references: &[Evaluation]) -> Result<Compared, Failure> {
    let failure = |run, output, what| Failure { seed: case.seed, subject: subject.name(), run, output, what };
    let outputs = ran(case, subject).map_err(|what| failure(0, None, what))?;
    let mut total = Compared::default();
    for (run, (arrays, reference)) in outputs.iter().zip(references).enumerate() {
        for (output, (array, values)) in arrays.iter().zip(&reference.outputs).enumerate() {
            let compared = held(array, values).map_err(|what| failure(run, Some(output), what))?;
            total.add(compared);
        }
    }
    Ok(total)
}

/// What `run` gives; a panic as text.
///
/// # Errors
/// It panics.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panic: {}", text.unwrap_or("of unknown kind"))
    })
}

/// The outputs of a subject; a fault or a panic as text.
fn ran(case: &Case, subject: &dyn Subject) -> Result<Vec<Vec<Array>>, String> {
    caught(|| subject.run(case))?.map_err(|error| format!("fault: {error}"))
}

/// Whether two subjects compute the same bits, as engines that follow one order of every sum must.
///
/// # Errors
/// The first output whose bits differ; a fault or panic of either.
pub fn same_bits(case: &Case, a: &dyn Subject, b: &dyn Subject) -> Result<(), Failure> {
    let failure = |who: &dyn Subject, run, output, what| Failure {
        seed: case.seed,
        subject: who.name(),
        run,
        output,
        what,
    };
    let left = ran(case, a).map_err(|what| failure(a, 0, None, what))?;
    let right = ran(case, b).map_err(|what| failure(b, 0, None, what))?;
    for (run, (left, right)) in left.iter().zip(&right).enumerate() {
        if let Some(output) = left.iter().zip(right).position(|(a, b)| !a.same_bits(b)) {
            let what = format!("{:?} has other bits than {:?} of {}", left[output], right[output], b.name());
            return Err(failure(a, run, Some(output), what));
        }
    }
    Ok(())
}

fn held(array: &Array, values: &Values) -> Result<Compared, String> {
    if (array.dtype(), array.sizes()) != (values.dtype, &values.sizes[..]) {
        let (dtype, sizes) = (array.dtype(), array.sizes());
        return Err(format!("{dtype}{sizes:?} instead of {}", values.ty()));
    }
    let mut compared = Compared { left_out: values.n_left_out(), ..Compared::default() };
    compared.elements = values.len() - compared.left_out;
    match &values.elements {
        Elements::Reals(reals) => {
            for (at, (got, real)) in array.to_f64s().into_iter().zip(reals.iter()).enumerate() {
                let ratio = distance(got, *real);
                if ratio > 2.0 {
                    let (x, bound) = (real.x, real.bound);
                    return Err(format!(
                        "element {at}: {got:e} is {ratio:.3} bounds of {bound:e} from {:e} + {:e}",
                        x.hi, x.lo
                    ));
                }
                compared.worst = compared.worst.max(ratio);
                let is_loose = !real.is_left_out() && real.bound > (1e-3 * real.x.hi.abs()).max(1e-6);
                compared.loose += usize::from(is_loose);
            }
        }
        Elements::Wholes(wholes) => {
            for (at, (got, whole)) in array.to_i64s().into_iter().zip(wholes.iter()).enumerate() {
                if let Some(want) = whole.filter(|&want| want != got) {
                    return Err(format!("element {at}: {got} instead of {want}"));
                }
            }
        }
    }
    Ok(compared)
}

/// |got − real| in units of its bound; infinite where a number and no number meet.
fn distance(got: f64, real: Real) -> f64 {
    let want = real.x.hi;
    match () {
        () if real.is_left_out() => 0.0,
        () if want.is_nan() || got.is_nan() => {
            if want.is_nan() && got.is_nan() {
                0.0
            } else {
                f64::INFINITY
            }
        }
        () if want.is_infinite() || got.is_infinite() => {
            if got == want {
                0.0
            } else {
                f64::INFINITY
            }
        }
        () => match (Double::from(got) - real.x).hi.abs() {
            0.0 => 0.0,
            // Infinite where the bound is 0.
            apart => apart / real.bound,
        },
    }
}
