//! The grad_table in words, as on the board.

use std::collections::HashMap;

use backprop_ad::grad_table;
use backprop_core::{Array, Graph, Tensor, cond, scan};
use backprop_run::{Tape, compile};

/// The explanation, but for the line numbers of this file.
#[track_caller]
fn check(text: &str, expect: &str) {
    let text: Vec<&str> = text.lines().map(|line| line.split(" (crates").next().unwrap()).collect();
    assert_eq!(text.join("\n"), expect.trim_start_matches('\n').trim_end());
}

#[test]
fn with_numbers() {
    let tape = Tape::new();
    let [x, y, w] = [(2.0, "x"), (3.0, "y"), (1.0, "w")].map(|(value, name)| tape.value(value).named(name));
    let z = (x * y + x.sin()).named("z");
    let table = grad_table(z, &[x, y, w]);
    check(
        &table.explain(),
        "
forward
  x = 2
  y = 3
  u₁ = x·y = 6
  u₂ = sin(x) = 0.9093
  z = u₁ + u₂ = 6.9093

backward: grad_table[X] is the sum of op.bprop(inputs, X, D) over the consumers of X,
          where D is the consumer's own entry
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
        &table.explain(),
        "
forward
  x: f64[]
  y: f64[]
  u₁ = x²
  h = tanh(y)
  u₂ = h·x
  z = u₁ + u₂

backward: grad_table[X] is the sum of op.bprop(inputs, X, D) over the consumers of X,
          where D is the consumer's own entry
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
    let text = grad_table(loss, &[w, b]).explain();
    for line in [
        "  u₁ = x·w = [−2, 0.5]",
        "  u₂ = broadcast(b) = [0.1, 0.1]",
        "  u₄ = relu(u₃) = [0, 0.6]",
        "    sum.bprop(inputs, u₄, D) = D, repeated = [1, 1]",
        "    select.bprop(inputs, u₃, D) = D ⊙ [u₃ > 0] = [0, 1]",
        "    broadcast.bprop(inputs, b, D) = Σ(D) = 1",
        "    contract.bprop(inputs, w, D) = xᵀ·D = [3, 1, 2]",
        "  dL/dw = grad_table[w] = [3, 1, 2]",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
}

/// A mean divides by B, which stands for itself; a scan has two results; a condition is true or false.
#[test]
fn sizes_conditions_and_bodies() {
    let g = Graph::new();
    let (x, h) = (g.input("x", "f64[B]"), g.input("h", "f64[]"));
    let (last, all) = scan(h, x, |h, x| ((h + x).tanh(), h * x));
    let (last, all) = (last.named("last"), all.named("all"));
    let c = last.gt(0.0).named("c");
    let z = (cond(c, || last * 2.0, || last.sin()) + all.mean(())).named("z");
    let table = grad_table(z, &[h]);
    let steps = table.steps().iter().flat_map(|step| [step.contribution, step.sum]);
    let wanted: Vec<Tensor> = steps.chain([z]).collect();
    let executable = compile(&g, &[x, h], &wanted).unwrap();
    let mut numbers = HashMap::new();
    executable
        .run_watched(&[Array::from([0.5, 1.0]), Array::scalar(0.0)], &mut |value, array| {
            numbers.insert(value, array.clone());
        })
        .unwrap();
    let text = table.explain_with(&|tensor: Tensor| numbers.get(&tensor.id()).cloned());
    for line in [
        "  last, all = scan(h, x) = 0.8981, [0, 0.4621]",
        "  c = (last > 0) = true",
        "  u₁ = select(c, 2·last, sin(last)) = 1.7961",
        "  u₃ = u₂/B = 0.2311",
        "    cond.bprop(inputs, last, D) = select(c, 2·D, D·cos(last)) = 2",
        "    div.bprop(inputs, u₂, D) = D/B = 0.5",
        "  last, all = scan(h, x), with D₁ = grad_table[last] = 2, D₂ = grad_table[all] = [0.5, 0.5]:",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    // d last/dh = (1 − tanh²1.4621)·(1 − tanh²0.5), d Σall/dh = 0.5 + 1 − tanh²0.5.
    let (h1, h2) = (0.5f64.tanh(), (0.5f64.tanh() + 1.0).tanh());
    let slope = 2.0 * (1.0 - h2 * h2) * (1.0 - h1 * h1) + 0.5 * (0.5 + (1.0 - h1 * h1));
    let result = format!("  dz/dh = grad_table[h] = {slope:.4}");
    assert!(text.lines().any(|own| own == result), "{result}\n{text}");
}

#[test]
fn names_of_the_user_are_not_taken() {
    let g = Graph::new();
    let x = g.input("x", "f64[]");
    let z = ((x.sin().named("u1") * x).exp() + x.cos().named("v")).named("z");
    let text = grad_table(z, &[x]).explain();
    for line in ["  u1 = sin(x)", "  s₁ = u1·x", "  s₂ = exp(s₁)", "  v = cos(x)"] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_ill_is_said_so() {
    let tape = Tape::new();
    let x = tape.value([1.0, 2.0]);
    let table = grad_table(x * x, &[x]);
    check(&table.explain(), "nothing was differentiated: the result is ill, or its graph is no more");
    let (unused, other) = (tape.value(1.0).named("v"), tape.value(2.0));
    let text = grad_table(unused, &[other]).explain();
    assert!(text.contains("= 0: the result does not depend on"), "{text}");
}

/// A result that is a number itself; a table that outlives its graph; a table of a body's values.
#[test]
fn tables_of_little() {
    let g = Graph::new();
    let (x, half) = (g.input("x", "f64[]"), g.full("f64[]", 0.5));
    assert!(grad_table(half, &[x]).explain().contains("= 0: the result does not depend on"));
    assert!(grad_table(half, &[half]).explain().contains("= grad_table["));
    let table = grad_table(x.sin(), &[x]);
    drop(g);
    check(&table.explain(), "nothing was differentiated: the result is ill, or its graph is no more");
    assert_eq!(x.formula(), "?");
}
