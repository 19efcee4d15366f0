//! What is held to the reference: every way of running a graph.

use std::collections::HashMap;
#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use backprop_core::Fault;
use backprop_core::{Array, Error, ValueId, interpret, replay};
#[cfg(unix)]
use backprop_cpu::engine::{Choice, Compiled, Sharing};
#[cfg(unix)]
use backprop_cpu::guard::Side;
use backprop_opt::simplify::{Options, Rounding, decompose, simplify};
use backprop_run::{CompileOptions, Engine, Executable, Tape};

use super::case::Case;
use super::ulps::Promise;

/// A way of running a graph.
pub trait Subject {
    /// What to call it.
    fn name(&self) -> &'static str;

    /// What it promises of its ops.
    fn promise(&self) -> Promise;

    /// The graph that it runs instead, where it may round differently than as it was written: then its
    /// results are held to the bounds of that graph, and that graph to what it was made from.
    ///
    /// # Errors
    /// A fault, which no graph here has.
    fn rewritten(&self, case: &Case) -> Result<Option<Case>, Error> {
        let _ = case;
        Ok(None)
    }

    /// Who, among those that run before it, must compute the same bits.
    fn twin(&self) -> Option<&'static str> {
        None
    }

    /// The outputs of each run.
    ///
    /// # Errors
    /// A fault, which no graph here has.
    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error>;
}

/// The reference interpreter.
pub struct Interpreter;

impl Subject for Interpreter {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn promise(&self) -> Promise {
        Promise::System
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        case.runs.iter().map(|inputs| interpret(&case.records, inputs, &case.outputs)).collect()
    }
}

/// Every op called again on a tape.
pub struct Replayed;

impl Subject for Replayed {
    fn name(&self) -> &'static str {
        "tape"
    }

    fn promise(&self) -> Promise {
        Promise::Compiled
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let run = |inputs: &Vec<_>| {
            let tape = Tape::new();
            let given: HashMap<_, _> = inputs
                .iter()
                .map(|(value, array): &(ValueId, Array)| (*value, tape.value(array.clone())))
                .collect();
            let all = replay(&case.records, &case.outputs, &given, tape.id());
            case.outputs.iter().map(|output| all[output].value()).collect()
        };
        case.runs.iter().map(run).collect()
    }
}

/// The executable of a case.
fn executable(case: &Case) -> Result<Executable, Error> {
    let inputs = case.runs[0].iter().map(|(value, _)| *value).collect();
    Executable::new(case.records.clone(), inputs, case.outputs.clone())
}

fn arrays(inputs: &[(ValueId, Array)]) -> Vec<Array> {
    inputs.iter().map(|(_, array)| array.clone()).collect()
}

/// One executable for all runs, node by node.
pub struct Walked;

impl Subject for Walked {
    fn name(&self) -> &'static str {
        "walk"
    }

    fn promise(&self) -> Promise {
        Promise::Compiled
    }

    fn twin(&self) -> Option<&'static str> {
        Some(Replayed.name())
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let executable = executable(case)?;
        case.runs.iter().map(|inputs| executable.walk(&arrays(inputs))).collect()
    }
}

/// Simplified, then interpreted.
pub struct Simplified(pub Options);

impl Simplified {
    fn case(&self, case: &Case) -> Result<Case, Error> {
        Ok(moved(case, &simplify(&case.records, &case.outputs, self.0)?))
    }
}

/// The case after a pass.
fn moved(case: &Case, pass: &backprop_opt::simplify::Simplified) -> Case {
    let input = |&(input, ref array): &(ValueId, Array)| Some((pass.value(input)?, array.clone()));
    Case {
        outputs: pass.roots.clone(),
        runs: case.runs.iter().map(|inputs| inputs.iter().filter_map(input).collect()).collect(),
        records: pass.records.clone(),
        ..*case
    }
}

impl Subject for Simplified {
    fn name(&self) -> &'static str {
        match self.0.rounding {
            Rounding::Kept => "simplified, exact",
            Rounding::Bounded => "simplified",
        }
    }

    fn twin(&self) -> Option<&'static str> {
        (self.0.rounding == Rounding::Kept).then_some(Interpreter.name())
    }

    fn promise(&self) -> Promise {
        Promise::System
    }

    fn rewritten(&self, case: &Case) -> Result<Option<Case>, Error> {
        match self.0.rounding {
            Rounding::Kept => Ok(None),
            Rounding::Bounded => self.case(case).map(Some),
        }
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        Interpreter.run(&self.case(case)?)
    }
}

/// What an executable runs instead: constants are folded from what is spelt out, and round as it does.
fn rewritten(case: &Case, rewrites: Options) -> Result<Option<Case>, Error> {
    let spelt_out = moved(case, &decompose(&case.records, &case.outputs)?);
    Simplified(rewrites).rewritten(&spelt_out)
}

/// One executable for all runs, compiled.
pub struct Executed {
    /// What to call it.
    pub name: &'static str,
    /// How it runs.
    pub options: CompileOptions,
    /// Who computes the same bits: fewer threads, or another engine under the same rewrites.
    pub twin: Option<&'static str>,
}

impl Subject for Executed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn promise(&self) -> Promise {
        Promise::Compiled
    }

    fn twin(&self) -> Option<&'static str> {
        self.twin
    }

    fn rewritten(&self, case: &Case) -> Result<Option<Case>, Error> {
        rewritten(case, self.options.rewrites)
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let executable = executable(case)?.with_options(self.options.clone());
        case.runs.iter().map(|inputs| executable.run(&arrays(inputs))).collect()
    }
}

/// Machine code on buffers that lie apart, each against a page that nobody may touch; threads share every step.
#[cfg(unix)]
pub struct Guarded {
    /// What to call it.
    pub name: &'static str,
    /// Where the pages are.
    pub side: Side,
    /// Who computes the same bits.
    pub twin: &'static str,
}

#[cfg(unix)]
impl Subject for Guarded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn promise(&self) -> Promise {
        Promise::Compiled
    }

    fn twin(&self) -> Option<&'static str> {
        Some(self.twin)
    }

    fn rewritten(&self, case: &Case) -> Result<Option<Case>, Error> {
        rewritten(case, Options::FAST)
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let executable = executable(case)?;
        let choice = Choice { sharing: Sharing::All, ..Choice::default() };
        let run = |inputs: &Vec<_>| {
            let inputs = arrays(inputs);
            // Arrays of the outputs' types, to be overwritten.
            let mut outputs = executable.run(&inputs)?;
            let program = Arc::new(executable.plan(&inputs)?.program);
            let compiled = Compiled::new(program, choice).expect("lowering keeps the rules");
            let told = compiled.run_guarded(3, self.side, &inputs, &mut outputs);
            told.map_err(|failure| Fault::new("run", failure.ill.rule))?;
            Ok(outputs)
        };
        case.runs.iter().map(run).collect()
    }
}

/// Every one that walks a graph op by op.
pub fn walking() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(Interpreter),
        Box::new(Replayed),
        Box::new(Walked),
        Box::new(Simplified(Options::EXACT)),
        Box::new(Simplified(Options::FAST)),
    ]
}

/// Every one. Machine code computes the bits of the portable engine under the same rewrites, on any number of
/// threads, wherever its buffers lie.
pub fn all() -> Vec<Box<dyn Subject>> {
    let fast = CompileOptions { engine: Engine::Portable, ..CompileOptions::default() };
    let exact = CompileOptions { rewrites: Options::EXACT, ..fast.clone() };
    let native = CompileOptions { engine: Engine::Native, ..fast.clone() };
    let native_exact = CompileOptions { engine: Engine::Native, ..exact.clone() };
    let rows = [
        ("portable, exact", exact, None),
        ("portable", fast, None),
        ("native, exact", native_exact, Some("portable, exact")),
        ("native", native, Some("portable")),
    ];
    let executed = rows.map(|(name, options, twin)| {
        let subject: Box<dyn Subject> = Box::new(Executed { name, options, twin });
        subject
    });
    #[cfg(unix)]
    let guarded =
        [("guarded at the end", Side::After), ("guarded at the start", Side::Before)].map(|(name, side)| {
            let subject: Box<dyn Subject> = Box::new(Guarded { name, side, twin: "native" });
            subject
        });
    #[cfg(not(unix))]
    let guarded = [];
    walking().into_iter().chain(executed).chain(guarded).collect()
}
