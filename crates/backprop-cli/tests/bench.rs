//! `backprop bench` says what it promises, and serves steps.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::Folder;
use serde_json::Value;

/// The fields that are numbers in the last line of `line`, run with `--json`.
#[track_caller]
fn check(line: &str, numbers: &[&str]) -> Value {
    let done = Folder::new().line(&format!("{line} --json")).good();
    let last = done.json_lines().pop().expect("there is a line");
    for field in numbers {
        assert!(last[field].is_number(), "{line}: {field} of {last}");
    }
    last
}

#[test]
fn a_training_step_is_told_as_a_part_of_the_peak() {
    let line = "bench mlp --layers 7,5,3 --batch 11 --rounds 3";
    let fields =
        ["median_us", "min_us", "p10_us", "p90_us", "gflops", "compile_ms", "allocs_per_step", "arena_bytes"];
    let own = check(line, &fields);
    let at = |field: &str| own[field].as_f64().expect("it is a number");
    assert!(
        at("min_us") <= at("p10_us") && at("p10_us") <= at("median_us") && at("median_us") <= at("p90_us")
    );
    // 2·11·(2·7·5 + 3·5·3) operations.
    assert!((at("gflops") * at("median_us") * 1e3 - 2530.0).abs() < 1e-6);
    // Another CPU than those with AVX2 has no known peak.
    if let Some(peak) = own["peak_gflops"].as_f64() {
        assert!((at("fraction_of_peak") * peak - at("gflops")).abs() < 1e-9 * peak);
    }
    let eager = check("bench mlp --layers 7,5,3 --batch 11 --engine eager --rounds 3", &["median_us"]);
    assert!(eager["arena_bytes"].is_null());
}

#[test]
fn a_trace_has_an_event_for_each_step() {
    let folder = Folder::new();
    folder.line("bench mlp --layers 7,5,3 --batch 11 --trace trace.json").good();
    let table = folder.line("bench mlp --layers 7,5,3 --batch 11 --profile").good();
    let text = std::fs::read_to_string(folder.path("trace.json")).expect("the trace was written");
    let trace: Value = serde_json::from_str(&text).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    // The table has a heading and a sum.
    assert_eq!(events.len(), table.out.lines().count() - 2);
    let mut end = 0.0;
    for event in events {
        let number = |field: &str| event[field].as_f64().expect("it is a number");
        assert!((number("ts") - end).abs() < 1e-6 && number("dur") >= 0.0, "{event}");
        end = number("ts") + number("dur");
        assert!(event["args"]["flops"].is_u64() && event["args"]["bytes"].is_u64(), "{event}");
        assert!(event["args"]["places"].as_array().is_some_and(|places| !places.is_empty()), "{event}");
    }
}

#[test]
fn a_graph_of_the_user_is_measured_step_by_step() {
    let table = Folder::new().line("bench graph model.graph --size B=7 --profile").good().out;
    assert!(table.contains("contract") && table.contains("model.graph:"), "{table}");
    let unknown = Folder::new().line("bench graph model.graph").err;
    assert!(unknown.contains("input x") && unknown.contains("--size NAME=N"), "{unknown}");
    // Of two kinds of answers neither is left out in silence.
    for both in ["--profile --serve", "--profile --json", "--trace t.json --serve", "--trace t.json --json"] {
        let refused = Folder::new().line(&format!("bench graph model.graph --size B=7 {both}")).err;
        assert!(refused.contains("cannot be used with"), "{both}: {refused}");
    }
}

#[test]
fn every_kind_of_work_gives_its_numbers() {
    check("bench gemm 7x1x3 --rounds 3", &["gflops"]);
    check("bench graph model.graph --size B=7 --rounds 3", &["median_us", "flops"]);
    check("bench graph model.graph --in x.npz --rounds 3", &["loss"]);
    check("bench pointwise --elements 1009 --rounds 3", &["ratio", "ratio_p10", "ratio_p90", "floor_us"]);
    check("bench cross-entropy --batch 7 --classes 3 --rounds 3", &["ratio", "loss"]);
    check("bench adam --elements 1009 --rounds 3", &["ratio", "loss"]);
    check("bench function tanh --elements 1009 --rounds 3", &["gelements_per_second"]);
    check("bench train --layers 5,3 --examples 17 --batch 7 --rounds 3 --threads 2", &["samples_per_second"]);
    check("bench compile --layers 5,3 --batch 7 --new-batch 11 --rounds 2", &["compile_ms", "new_batch_ms"]);
    check("bench chain 1000", &["ns_per_node", "of_linear", "build_ms", "grad_ms", "compile_ms", "run_ms"]);
}

/// What a process that serves `line` answers to `requests`.
#[track_caller]
fn serve(folder: &Folder, line: &str, requests: &str) -> Vec<Value> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backprop"))
        .args(line.split_whitespace())
        .current_dir(folder.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command was built");
    let mut stdin = child.stdin.take().expect("it was asked for");
    stdin.write_all(requests.as_bytes()).expect("it listens");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{line}");
    let text = String::from_utf8(output.stdout).expect("it speaks UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

#[test]
fn a_start_from_a_file_gives_the_losses_of_numpy() {
    use backprop_core::Array;
    // x = [[1, 2], [3, −1], [0, 1]], labels 1, 0, 1, W = [[0.5, −0.5], [−1, 1]], b = 0, lr 0.01.
    let x = Array::from([[1.0f32, 2.0], [3.0, -1.0], [0.0, 1.0]]);
    let w = Array::from([[0.5f32, -0.5], [-1.0, 1.0]]);
    let folder = Folder::new();
    let all = [("x", &x), ("y", &Array::from([1i64, 0, 1])), ("0.weight", &w)];
    folder.npz("start.npz", &[all.as_slice(), &[("0.bias", &Array::from([0.0f32, 0.0]))]].concat());
    let line = "bench mlp --layers 2,2 --batch 2 --start start.npz --serve";
    let answers = serve(&folder, line, "run 2\nbatch 3\n");
    // import numpy as np; the step z = xWᵀ + b, p = softmax z, W −= 0.01·(p − onehot)ᵀx/n, in f64
    let expect = [0.101944481560, 0.099991441538, 0.132181912792];
    assert_eq!(answers.len(), 3);
    for (answer, expect) in answers.iter().zip(expect) {
        let loss = answer["loss"].as_f64().expect("a loss is read");
        assert!((loss - expect).abs() < 1e-6, "{loss}, not {expect}");
    }
    assert!(answers[0]["first_us"].is_number() && answers[1]["us"].is_number());
}

#[test]
fn training_serves_epochs() {
    let folder = Folder::new();
    let answers = serve(&folder, "bench train --layers 5,3 --examples 17 --serve", "run 1\nrun 2\n");
    let losses: Vec<f64> = answers.iter().filter_map(|answer| answer["loss"].as_f64()).collect();
    assert_eq!(losses.len(), 3);
    assert!(losses[0] > losses[1] && losses[1] > losses[2], "{losses:?}");
}
