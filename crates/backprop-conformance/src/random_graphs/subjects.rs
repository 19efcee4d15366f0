//! What is held to the reference: every way of running a graph.

use std::collections::HashMap;

use backprop_core::{Array, Error, interpret, replay};
use backprop_run::{Executable, Tape};

use super::case::Case;
use super::ulps::Promise;

/// A way of running a graph.
pub trait Subject {
    /// What to call it.
    fn name(&self) -> &'static str;

    /// What it promises of its ops.
    fn promise(&self) -> Promise;

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
                .map(|(value, array): &(u32, Array)| (*value, tape.value(array.clone())))
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

    fn promise(&self) -> Promise {
        Promise::System
    }

    fn run(&self, case: &Case) -> Result<Vec<Vec<Array>>, Error> {
        let inputs = case.runs[0].iter().map(|(value, _)| *value).collect();
        let executable = Executable::new(case.records.clone(), inputs, case.outputs.clone())?;
        let run = |inputs: &Vec<(u32, Array)>| {
            let arrays: Vec<Array> = inputs.iter().map(|(_, array)| array.clone()).collect();
            executable.run(&arrays)
        };
        case.runs.iter().map(run).collect()
    }
}

/// All of them.
pub fn all() -> Vec<Box<dyn Subject>> {
    vec![Box::new(Interpreter), Box::new(Replayed), Box::new(Executed)]
}
