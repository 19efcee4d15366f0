"""The cases of ops.json for functions made of several ops: softmax, normalisation, losses."""

import jax
import jax.numpy as jnp
import numpy as np

LARGE = np.array([[1000.0, 1000.5, 999.0], [-1000.0, -1001.0, 20.0]])


def real(rng, *shape):
    return rng.standard_normal(shape)


SOFTMAXES = [((7,), 0), ((2, 5), 1), ((5, 2), 0), ((2, 3, 5), 2), ((2, 3, 5), 1), ((2, 3, 5), 0), ((0, 3), 1), ((3, 1), 1), ((11,), 0)]


def softmax_cases(f):
    def cases(rng):
        found = [({"axis": a}, lambda x, a=a: [f(x, axis=a)], [real(rng, *s)]) for s, a in SOFTMAXES]
        return found + [({"axis": 1}, lambda x: [f(x, axis=1)], [LARGE], {"note": "large magnitudes"})]

    return cases


def layer_norm(x, weight, bias):
    mean = jnp.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return [centred / jnp.sqrt(variance + 1e-5) * weight + bias]


def layer_norm_cases(rng):
    shapes = [(7,), (2, 5), (5, 3), (2, 3, 5), (3, 2), (1, 11), (0, 3), (2, 1, 2, 7)]
    found = [({"eps": 1e-5}, layer_norm, [real(rng, *s), real(rng, s[-1]), real(rng, s[-1])]) for s in shapes]
    flat = [np.full((2, 3), 1.25), real(rng, 3), real(rng, 3)]
    return found + [({"eps": 1e-5}, layer_norm, flat, {"note": "no variance: eps alone divides"})]


def norm_cases(rng):
    f = lambda x: [jnp.sqrt(jnp.sum(x * x))]
    shapes = [(7,), (2, 3), (5, 2), (2, 3, 5), (), (1, 11), (3, 1, 2), (13,)]
    zero, empty = np.zeros((2, 3)), np.zeros((0, 3))
    return [({}, f, [real(rng, *s)]) for s in shapes] + [
        ({}, f, [zero], {"orders": 1, "dx": [zero], "note": "norm(0) = 0 with gradient 0, by convention"}),
        ({}, f, [empty], {"orders": 1, "dx": [empty], "note": "norm of nothing is 0"}),
    ]


def cross_entropy(logits, labels):
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), labels[:, None], axis=1)
    return [-jnp.mean(picked)]


def cross_entropy_cases(rng):
    shapes = [(2, 3), (5, 2), (7, 5), (1, 7), (3, 1), (3, 11), (11, 3), (5, 7)]
    found = [({}, cross_entropy, [real(rng, *s), rng.integers(0, s[1], s[0], dtype=np.int64)]) for s in shapes]
    labels = np.array([2, 1], dtype=np.int64)
    return found + [({}, cross_entropy, [LARGE, labels], {"note": "large magnitudes"})]


SHAPES = [(7,), (2, 3), (5, 2), (2, 3, 5), (), (1, 11), (3, 1, 2), (13,)]


def mse_cases(rng):
    return [({}, lambda x, y: [jnp.mean((x - y) ** 2)], [real(rng, *s), real(rng, *s)]) for s in SHAPES]


def bce_with_logits(x, y):
    return [jnp.mean(jax.nn.softplus(x) - x * y)]


def bce_cases(rng):
    found = [({}, bce_with_logits, [3 * real(rng, *s), rng.random(s)]) for s in SHAPES]
    hard = [np.array([800.0, -800.0, 30.0, -30.0, 2.0]), np.array([1.0, 0.0, 0.0, 1.0, 1.0])]
    return found + [({}, bce_with_logits, hard, {"note": "large magnitudes"})]


def linear_cases(rng):
    rows = [((2,), 3, 5), ((7,), 2, 1), ((2, 3), 5, 2), ((1,), 7, 3), ((), 5, 3), ((0,), 3, 2), ((5,), 1, 7), ((2, 1, 3), 2, 5)]
    f = lambda x, weight, bias: [x @ weight.T + bias]
    return [({}, f, [real(rng, *lead, n_in), real(rng, n_out, n_in), real(rng, n_out)]) for lead, n_in, n_out in rows]


COMPOSITES = {
    "softmax": softmax_cases(jax.nn.softmax),
    "log_softmax": softmax_cases(jax.nn.log_softmax),
    "layer_norm": layer_norm_cases,
    "norm": norm_cases,
    "cross_entropy": cross_entropy_cases,
    "mse_loss": mse_cases,
    "bce_with_logits": bce_cases,
    "linear": linear_cases,
}
