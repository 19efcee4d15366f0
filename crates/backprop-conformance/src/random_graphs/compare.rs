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

impl Failure {
    /// Of a subject, in no output in particular.
    pub fn of(case: &Case, subject: &dyn Subject, what: String) -> Failure {
        Failure { seed: case.seed, subject: subject.name(), run: 0, output: None, what }
    }
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

/// The outputs of each run.
pub type Outputs = Vec<Vec<Array>>;

/// Runs `subject` on a case and holds it to the references of its promise.
///
/// # Errors
/// The first element that is wrong, a fault, or a panic.
pub fn hold(case: &Case, subject: &dyn Subject, references: &[Evaluation]) -> Result<Compared, Failure> {
    within(case, subject, &ran(case, subject)?, references)
}

/// Holds what a subject computed to the references of its promise.
///
/// # Errors
/// The first element that is wrong.
pub fn within(
    case: &Case,
    subject: &dyn Subject,
    outputs: &Outputs,
    references: &[Evaluation],
) -> Result<Compared, Failure> {
    let mut total = Compared::default();
    for (run, (arrays, reference)) in outputs.iter().zip(references).enumerate() {
        for (output, (array, values)) in arrays.iter().zip(&reference.outputs).enumerate() {
            let failure = |what| Failure { run, output: Some(output), ..Failure::of(case, subject, what) };
            total.add(held(array, values).map_err(failure)?);
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

/// The outputs of a subject.
///
/// # Errors
/// A fault or a panic.
pub fn ran(case: &Case, subject: &dyn Subject) -> Result<Outputs, Failure> {
    let outputs = caught(|| subject.run(case)).map_err(|what| Failure::of(case, subject, what))?;
    outputs.map_err(|error| Failure::of(case, subject, format!("fault: {error}")))
}

/// Whether a subject computed the same bits as its twin, as engines that follow one order of every sum must.
///
/// # Errors
/// The first output whose bits differ.
pub fn same_bits(case: &Case, subject: &dyn Subject, own: &Outputs, twin: &Outputs) -> Result<(), Failure> {
    for (run, (own, twin)) in own.iter().zip(twin).enumerate() {
        if let Some(output) = own.iter().zip(twin).position(|(a, b)| !bits_agree(a, b)) {
            let what = format!("other bits than its twin: {:?}, not {:?}", own[output], twin[output]);
            return Err(Failure { run, output: Some(output), ..Failure::of(case, subject, what) });
        }
    }
    Ok(())
}

/// Whether type, sizes and bits are equal; a NaN is as good as another.
fn bits_agree(a: &Array, b: &Array) -> bool {
    let agree = |(a, b): (f64, f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    let same = (a.dtype(), a.sizes()) == (b.dtype(), b.sizes());
    same && match a.dtype().is_float() {
        true => a.to_f64s().into_iter().zip(b.to_f64s()).all(agree),
        false => a == b,
    }
}

/// Whether a rewritten graph means the same: in exact arithmetic its values are those of the graph that it
/// was made from, but for constants that were folded and rounded, within both bounds.
///
/// # Errors
/// The run and output of the first element that differs, and how.
pub fn agree(original: &[Evaluation], rewritten: &[Evaluation]) -> Result<(), (usize, usize, String)> {
    for (run, (before, after)) in original.iter().zip(rewritten).enumerate() {
        for (output, (before, after)) in before.outputs.iter().zip(&after.outputs).enumerate() {
            if before.ty() != after.ty() {
                return Err((run, output, format!("rewritten from {} to {}", before.ty(), after.ty())));
            }
            let differ = match (&before.elements, &after.elements) {
                (Elements::Reals(a), Elements::Reals(b)) => {
                    let differ = |(a, b): (&Real, &Real)| !a.may_equal(*b);
                    a.iter()
                        .zip(b.iter())
                        .position(differ)
                        .map(|i| format!("element {i}: {:?} became {:?}", a[i], b[i]))
                }
                _ => {
                    let (a, b) = (before.as_wholes(), after.as_wholes());
                    let differ = |(a, b): (&Option<i64>, &Option<i64>)| a.is_some() && b.is_some() && a != b;
                    a.iter()
                        .zip(b)
                        .position(differ)
                        .map(|i| format!("element {i}: {:?} became {:?}", a[i], b[i]))
                }
            };
            if let Some(what) = differ {
                return Err((run, output, format!("the rewriting is wrong: {what}")));
            }
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
    compared.elements = values.n_elements() - compared.left_out;
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
