//! `bench chain`: a graph of many scalar operations, from building it to its gradient.

use std::fs;
use std::process::Command as Process;
use std::time::Instant;

use backprop_ad::grad_table;
use backprop_core::{Array, Graph, Tensor};
use backprop_run::compile;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::json_flag;
use super::spread::time;
use crate::failure::Failure;
use crate::talk::print;

/// The arguments.
pub fn command() -> Command {
    Command::new("chain")
        .about("A random graph of N scalar operations: build, differentiate, compile, run; is it linear?")
        .arg(
            Arg::new("n")
                .value_name("N")
                .required(true)
                .value_parser(value_parser!(u32).range(10..=100_000_000))
                .help("Operations before differentiating"),
        )
        .arg(
            Arg::new("alone")
                .long("alone")
                .action(ArgAction::SetTrue)
                .help("Without a tenth of the operations beside it, in a process of its own"),
        )
        .arg(json_flag())
        .after_help(
            "The operations are +, −, ·, tanh and sin in turn, on two of the hundred values before, f64. `compile`\n\
             checks the graph; code for its sizes is made in the first `run`.\n\n\
             Example:\n  backprop bench chain 1000",
        )
}

/// Measures.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let n = *matches.get_one::<u32>("n").expect("clap demands it") as usize;
    let tenth = match matches.get_flag("alone") || n < 100 {
        true => None,
        false => Some(elsewhere(n / 10)?),
    };
    let own = Phases::of(n)?;
    let of_linear = tenth.map(|tenth| own.total_us() / n as f64 / (tenth / (n / 10) as f64));
    match matches.get_flag("json") {
        true => print(own.object(of_linear)),
        false => print(own.words(of_linear)),
    }
}

/// Microseconds of all phases for `n` operations, in a process of its own.
fn elsewhere(n: usize) -> Result<f64, Failure> {
    let cannot = |why: &str| Failure::failed(format!("{n} operations in a process of their own: {why}"));
    let exe = std::env::current_exe().map_err(|error| cannot(&error.to_string()))?;
    let mut process = Process::new(exe);
    process.args(["bench", "chain", &n.to_string(), "--alone", "--json"]);
    let output = process.output().map_err(|error| cannot(&error.to_string()))?;
    let object: Value = serde_json::from_slice(&output.stdout).map_err(|_| cannot("it failed"))?;
    object["total_ms"].as_f64().map(|ms| ms * 1e3).ok_or_else(|| cannot("it gave no time"))
}

/// What the parts of the work take.
struct Phases {
    n: usize,
    /// Nodes of the graph, its gradients included.
    n_nodes: usize,
    parts: [Part; 4],
}

/// From building the graph to its first run.
struct Part {
    name: &'static str,
    us: f64,
    /// What the process needed at most until then, beyond what it began with; where the system tells.
    peak_bytes: Option<f64>,
}

impl Phases {
    fn of(n: usize) -> Result<Phases, Failure> {
        let before = memory("VmRSS:");
        let mut begun = Instant::now();
        let mut part = |name: &'static str| {
            let us = begun.elapsed().as_secs_f64() * 1e6;
            let peak_bytes = memory("VmHWM:").zip(before).map(|(peak, before)| peak - before);
            begun = Instant::now();
            Part { name, us, peak_bytes }
        };
        let graph = Graph::new();
        let (inputs, z) = random(&graph, n);
        let built = part("build");
        let gradients = grad_table(z, &inputs).gradients().to_vec();
        let differentiated = part("grad");
        let outputs = [vec![z], gradients].concat();
        let executable = compile(&graph, &inputs, &outputs)?;
        let compiled = part("compile");
        let arrays: Vec<Array> = (0..inputs.len()).map(|idx| Array::scalar(0.1 * (idx + 1) as f64)).collect();
        executable.run(&arrays)?;
        let ran = part("run");
        let n_nodes = executable.records().n_nodes();
        Ok(Phases { n, n_nodes, parts: [built, differentiated, compiled, ran] })
    }

    fn total_us(&self) -> f64 {
        self.parts.iter().map(|part| part.us).sum()
    }

    /// At the end of a part.
    fn bytes_per_node(&self, part: &Part) -> Option<f64> {
        part.peak_bytes.map(|bytes| bytes / self.n as f64)
    }

    fn most_bytes_per_node(&self) -> Option<f64> {
        self.bytes_per_node(&self.parts[3])
    }

    fn object(&self, of_linear: Option<f64>) -> Value {
        let mut object = json!({
            "work": "chain", "nodes": self.n, "nodes_with_gradients": self.n_nodes, "of_linear": of_linear,
            "ns_per_node": self.total_us() * 1e3 / self.n as f64,
            "bytes_per_node": self.most_bytes_per_node(), "total_ms": self.total_us() / 1e3,
        });
        for part in &self.parts {
            object[format!("{}_ms", part.name)] = (part.us / 1e3).into();
        }
        object
    }

    fn words(&self, of_linear: Option<f64>) -> String {
        let head = format!("chain of {} operations, {} with gradients of 10 inputs", self.n, self.n_nodes);
        let mut lines = vec![head];
        let mut line = |what: &str, text: String| lines.push(format!("{what:<13}{text}"));
        if let Some(ratio) = of_linear {
            line("of linear", format!("{ratio:.2}: time per operation, over that for a tenth of them"));
        }
        let per_node = self.total_us() / self.n as f64;
        line("all", format!("{}, {} per operation", time(self.total_us()), time(per_node)));
        if let Some(bytes) = self.most_bytes_per_node() {
            line("memory", format!("{bytes:.0} bytes per operation at the peak"));
        }
        for part in &self.parts {
            let peak = self.bytes_per_node(part).map_or_else(String::new, |bytes| {
                format!(", at the peak so far {bytes:.0} bytes per operation")
            });
            line(part.name, time(part.us) + &peak);
        }
        lines.join("\n")
    }
}

/// Ten inputs, and the last of `n` operations on values made shortly before.
fn random(graph: &Graph, n: usize) -> (Vec<Tensor>, Tensor) {
    let inputs: Vec<Tensor> = (0..10).map(|idx| graph.input(&format!("x{idx}"), "f64[]")).collect();
    let mut values = inputs.clone();
    // Marsaglia 2003: xorshift.
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for idx in 0..n {
        let mut recent = || values[values.len() - 1 - random(values.len().min(100))];
        let (a, b) = (recent(), recent());
        values.push(match idx % 5 {
            0 => a + b,
            1 => a * b,
            2 => a - b,
            3 => a.tanh(),
            _ => a.sin(),
        });
    }
    (inputs, values[values.len() - 1])
}

/// Bytes that Linux tells of this process.
fn memory(what: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
