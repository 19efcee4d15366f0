//! The machine code of a program as text, step by step.

use backprop_opt::loops::Program;

use super::compile::{Ready, Step};
use crate::native::listing::listing;

/// Every step of a program and of the bodies in it. It recurses as deep as bodies are nested.
pub(super) fn assembly(program: &Program, ready: &Ready, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    for (position, (step, made)) in program.steps.iter().zip(&ready.steps).enumerate() {
        *text += &format!("{pad}step {position}  {}\n", step.kind);
        match made {
            Step::Kernel(kernel, _) => {
                let routines = kernel.machine_code();
                if routines.is_empty() {
                    *text += &format!("{pad}  loops in plain Rust\n");
                }
                for routine in routines {
                    *text += &format!("{pad}  {}, {} bytes:\n", routine.name, routine.code.len());
                    *text += &listing(&routine, &format!("{pad}    "));
                }
            }
            Step::Call(_) => *text += &format!("{pad}  by its own definition\n"),
            Step::Cond(_) | Step::Scan(_) => {
                for ((name, body), ready) in step.kind.bodies().into_iter().zip(made.bodies()) {
                    *text += &format!("{pad}  {name}:\n");
                    assembly(body, ready, indent + 4, text);
                }
            }
        }
    }
}
