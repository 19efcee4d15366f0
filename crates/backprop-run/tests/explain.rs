//! The grad_table in words, as on the board.

use backprop_ad::{explain, grad_table};
use backprop_core::{Array, Graph, Tensor};
use backprop_run::Tape;

/// The explanation, but for the line numbers of this file.
#[track_caller]
fn check(text: &str, expect: &str) {
    let text: Vec<&str> = text.lines().map(|line| line.split(" (crates").next().unwrap()).collect();
    assert_eq!(text.join("\n"), expect.trim_start_matches('\n').trim_end());
}

fn numbers(tensor: Tensor) -> Option<Array> {
    tensor.value().ok()
}

#[test]
fn with_numbers() {
    let tape = Tape::new();
    let [x, y, w] = [(2.0, "x"), (3.0, "y"), (1.0, "w")].map(|(value, name)| tape.value(value).named(name));
    let z = (x * y + x.sin()).named("z");
    let table = grad_table(z, &[x, y, w]);
    check(
        &explain(&table, &tape.records(), Some(&numbers)),
        "
forward
  x = 2
  y = 3
  u₁ = x·y = 6
  u₂ = sin(x) = 0.9093
  z = u₁ + u₂ = 6.9093

backward
  grad_table[z] ← 1

  z = u₁ + u₂, with D = grad_table[z] = 1:
    add.bprop(inputs, u₁, D) = D = 1
    add.bprop(inputs, u₂, D) = D = 1
  grad_table[u₁] ← 1
  grad_table[u₂] ← 1

  u₂ = sin(x), with D = grad_table[u₂] = 1:
    sin.bprop(inputs, x, D) = D·cos(x) = −0.4161

  u₁ = x·y, with D = grad_table[u₁] = 1:
    mul.bprop(inputs, x, D) = D·y = 3
    mul.bprop(inputs, y, D) = D·x = 2
  grad_table[x] ← −0.4161 + 3 = 2.5839
  grad_table[y] ← 2

result
  dz/dx = grad_table[x] = 2.5839
  dz/dy = grad_table[y] = 2
  dz/dw = 0: the result does not depend on w
",
    );
}

#[test]
fn without_numbers() {
    let g = Graph::new();
    let (x, y) = (g.input("x", "f64[]"), g.input("y", "f64[]"));
    let z = (x * x + y.tanh().named("h") * x).named("z");
    let table = grad_table(z, &[x]);
    check(
        &explain(&table, &g.records(), None),
        "
forward
  x
  y
  u₁ = x²
  h = tanh(y)
  u₂ = h·x
  z = u₁ + u₂

backward
  grad_table[z] ← 1

  z = u₁ + u₂, with D = grad_table[z]:
    add.bprop(inputs, u₁, D) = D
    add.bprop(inputs, u₂, D) = D
  grad_table[u₁] ← grad_table[z]
  grad_table[u₂] ← grad_table[z]

  u₂ = h·x, with D = grad_table[u₂]:
    mul.bprop(inputs, x, D) = D·h

  u₁ = x², with D = grad_table[u₁]:
    mul.bprop(inputs, x, D) = D·x
    mul.bprop(inputs, x, D) = D·x
  grad_table[x] ← grad_table[u₂]·h + grad_table[u₁]·x + grad_table[u₁]·x

result
  dz/dx = grad_table[x]
",
    );
}

#[test]
fn a_relu_layer_with_matrices() {
    let tape = Tape::new();
    let x = tape.value([[1.0, -2.0, 0.5], [3.0, 1.0, 2.0]]).named("x");
    let (w, b) = (tape.value([0.5, 1.0, -1.0]).named("w"), tape.value(0.1).named("b"));
    let loss = (x.matmul(w) + b).relu().sum(()).named("L");
    let text = explain(&grad_table(loss, &[w, b]), &tape.records(), Some(&numbers));
    for line in [
        "  u₁ = x·w = [−2, 0.5]",
        "  u₂ = broadcast(b) = [0.1, 0.1]",
        "  u₄ = relu(u₃) = [0, 0.6]",
        "    sum.bprop(inputs, u₄, D) = D = [1, 1]",
        "    select.bprop(inputs, u₃, D) = D ⊙ [u₃ > 0] = [0, 1]",
        "    broadcast.bprop(inputs, b, D) = Σ(D) = 1",
        "    contract.bprop(inputs, w, D) = xᵀ·D = [3, 1, 2]",
        "  dL/dw = grad_table[w] = [3, 1, 2]",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_ill_is_said_so() {
    let tape = Tape::new();
    let x = tape.value([1.0, 2.0]);
    let table = grad_table(x * x, &[x]);
    check(
        &explain(&table, &tape.records(), Some(&numbers)),
        "nothing was differentiated: the result is ill, or its graph is no more",
    );
    let (unused, other) = (tape.value(1.0).named("v"), tape.value(2.0));
    let text = explain(&grad_table(unused, &[other]), &tape.records(), Some(&numbers));
    assert!(text.contains("= 0: the result does not depend on"), "{text}");
}
