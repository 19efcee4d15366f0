//! What is held to the reference: every way of running a graph.

use std::collections::HashMap;
use std::sync::Arc;

use backprop_core::{Array, Error, Fault, ValueId, interpret, replay};
use backprop_cpu::engine::{Choice, Compiled};
use backprop_opt::lower::{self, lower};
use backprop_opt::simplify::{Options, Rounding, bind, decompose, simplify};
use backprop_run::{Executable, Tape};

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
        Promise::System
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

/// One executable for all runs.
pub struct Executed;

impl Subject for Executed {
    fn name(&self) -> &'static str {
        "executable"
    }

    fn twin(&self) -> Option<&'static str> {
        Some(Replayed.name())
    }

    fn promise(&self) -> Promise {
        Promise::System
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let inputs = case.runs[0].iter().map(|(value, _)| *value).collect();
        let executable = Executable::new(case.records.clone(), inputs, case.outputs.clone())?;
        let run = |inputs: &Vec<(ValueId, Array)>| {
            let arrays: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
            executable.run(&arrays)
        };
        case.runs.iter().map(run).collect()
    }
}

/// Simplified, then interpreted.
pub struct Simplified(pub Options);

impl Simplified {
    fn case(&self, case: &Case) -> Result<Case, Error> {
        let simplified = simplify(&case.records, &case.outputs, self.0)?;
        let moved = |&(input, ref array): &(ValueId, Array)| Some((simplified.value(input)?, array.clone()));
        Ok(Case {
            outputs: simplified.roots.clone(),
            runs: case.runs.iter().map(|inputs| inputs.iter().filter_map(moved).collect()).collect(),
            records: simplified.records.clone(),
            ..*case
        })
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

/// Compiled to loops, which plain Rust runs.
pub struct Portable {
    /// What the passes before may change.
    pub options: Options,
    /// On how many threads.
    pub n_threads: usize,
}

impl Subject for Portable {
    fn name(&self) -> &'static str {
        match self.n_threads {
            1 => "portable",
            _ => "portable, threads",
        }
    }

    fn twin(&self) -> Option<&'static str> {
        (self.n_threads > 1).then_some("portable")
    }

    fn promise(&self) -> Promise {
        Promise::Compiled
    }

    fn rewritten(&self, case: &Case) -> Result<Option<Case>, Error> {
        Simplified(self.options).rewritten(case)
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let case = Simplified(self.options).case(case)?;
        case.runs.iter().map(|inputs| self.compiled(&case, inputs)).collect()
    }
}

impl Portable {
    fn compiled(&self, case: &Case, inputs: &[(ValueId, Array)]) -> Result<Vec<Array>, Error> {
        let refused = |why: String| Error::from(Fault::new("portable", why));
        let given: Vec<(ValueId, &Array)> = inputs.iter().map(|(value, array)| (*value, array)).collect();
        let bound = bind(&case.records, &case.outputs, &case.records.sizes(&given, "portable")?)?;
        let plain = decompose(&bound, &case.outputs)?;
        let kept: Vec<(ValueId, &Array)> =
            given.iter().filter_map(|&(input, array)| Some((plain.value(input)?, array))).collect();
        let ids: Vec<ValueId> = kept.iter().map(|(input, _)| *input).collect();
        let program = lower(&plain.records, &ids, &plain.roots, &lower::Options::default());
        let compiled = Compiled::new(Arc::new(program), Choice::default()).map_err(refused)?;
        let mut arena = compiled.arena(self.n_threads).map_err(refused)?;
        let empty = |&output: &ValueId| {
            let ty = plain.records.ty(output).expect("what was simplified is well-typed");
            Array::zeros(ty.dtype, ty.shape.sizes().expect("every size is bound")).expect("it is small")
        };
        let mut outputs: Vec<Array> = plain.roots.iter().map(empty).collect();
        let arrays: Vec<&Array> = kept.iter().map(|(_, array)| *array).collect();
        compiled.run(&mut arena, &arrays, &mut outputs).map_err(|failure| refused(failure.ill.rule))?;
        Ok(outputs)
    }
}

/// All of them.
pub fn all() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(Interpreter),
        Box::new(Replayed),
        Box::new(Executed),
        Box::new(Simplified(Options::EXACT)),
        Box::new(Simplified(Options::FAST)),
        Box::new(Portable { options: Options::FAST, n_threads: 1 }),
        Box::new(Portable { options: Options::FAST, n_threads: 3 }),
    ]
}
