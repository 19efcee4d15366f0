//! Steps on demand, so that a driver can let several processes take turns.
//!
//! The process says `{"version", "first_us", "loss"}` once its first step is done (`first_us`: from nothing
//! to there). Then it answers each line of standard input, until that ends:
//!
//! - `run N`: takes N steps; `{"us", "loss"}`, microseconds per step and the last loss;
//! - `batch N`: takes a first step on N samples; the same;
//! - `peak N`: does multiply-adds on registers in N bursts, on as many threads; `{"gflops"}`, the best, or
//!   null.

use std::io::stdin;
use std::time::Instant;

use backprop_cpu::limits::fma_gflops;
use serde_json::json;

use super::rounds::Work;
use crate::failure::Failure;
use crate::talk::print;

/// What is asked for.
pub enum Request {
    /// So many steps.
    Run(usize),
    /// A step on so many samples.
    Batch(usize),
    /// So many bursts of multiply-adds.
    Peak(usize),
}

/// Says that the first step is done.
pub fn ready(first_us: f64, loss: f64) -> Result<(), Failure> {
    let version = concat!("backprop ", env!("CARGO_PKG_VERSION"));
    print(json!({ "version": version, "first_us": first_us, "loss": loss }))
}

/// Answers a request.
pub fn answer(us: f64, loss: f64) -> Result<(), Failure> {
    print(json!({ "us": us, "loss": loss }))
}

/// The next request; `None` at the end of standard input.
pub fn next() -> Result<Option<Request>, Failure> {
    let mut line = String::new();
    let n = stdin().read_line(&mut line).map_err(|e| Failure::failed(format!("standard input: {e}")))?;
    if n == 0 {
        return Ok(None);
    }
    let (command, count) = line.trim().split_once(' ').unwrap_or_default();
    match (command, count.parse()) {
        ("run", Ok(n)) if n > 0 => Ok(Some(Request::Run(n))),
        ("batch", Ok(n)) if n > 0 => Ok(Some(Request::Batch(n))),
        ("peak", Ok(n)) if n > 0 => Ok(Some(Request::Peak(n))),
        _ => {
            let line = line.trim();
            let wanted = "`run N`, `batch N` or `peak N` is wanted";
            Err(Failure::failed(format!("standard input: {wanted}, N at least 1, not `{line}`")))
        }
    }
}

/// Answers until standard input ends.
pub fn serve(work: &mut dyn Work, first_us: f64, loss: f64) -> Result<(), Failure> {
    ready(first_us, loss)?;
    while let Some(request) = next()? {
        let n = match request {
            Request::Run(n) => n,
            Request::Batch(n) => {
                work.set_batch(n)?;
                1
            }
            Request::Peak(n) => {
                let best = (0..n).filter_map(|_| fma_gflops(work.n_threads())).reduce(f64::max);
                print(json!({ "gflops": best }))?;
                continue;
            }
        };
        let (begun, mut loss) = (Instant::now(), f64::NAN);
        for _ in 0..n {
            loss = work.step()?;
        }
        answer(begun.elapsed().as_secs_f64() * 1e6 / n as f64, loss)?;
    }
    Ok(())
}
