"""The cases of ops.json for control flow: `cond` and `scan` with bodies that are named in "params".

The same bodies stand in `src/bodies.rs`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

TRUE, FALSE = np.array(True), np.array(False)


def real(rng, *shape):
    return rng.standard_normal(shape)


def scan(step, carry, xs, **options):
    carry, ys = lax.scan(step, carry, xs, **options)
    return jax.tree.leaves(carry) + jax.tree.leaves(ys)


# --- cond ------------------------------------------------------------------------------------------

COND = {
    "sin_or_cube": lambda p, x, w: [lax.cond(p, lambda: jnp.sin(x) * w, lambda: x * x * x + w)],
    "two_outputs": lambda p, x: list(lax.cond(p, lambda: (jnp.exp(x), jnp.sum(x)), lambda: (x * x, jnp.sum(jnp.tanh(x))))),
    "each_reads_its_own": lambda p, x, u: [lax.cond(p, lambda: x * x, lambda: jnp.sin(u) * u)],
    "matmul": lambda p, a, b: [lax.cond(p, lambda: jnp.tanh(a @ b), lambda: (a @ b) * (a @ b))],
    "nested": lambda p, q, x: [lax.cond(p, lambda: lax.cond(q, lambda: jnp.sin(x), lambda: jnp.exp(x)), lambda: x * x)],
    "of_scan": lambda p, x: [lax.cond(p, lambda: lax.scan(lambda c, v: (c * jnp.sin(v) + v, None), jnp.float64(0.5), x)[0], lambda: jnp.sum(x * x))],
    "gather": lambda p, x, i: [lax.cond(p, lambda: jnp.take(x, i) ** 2, lambda: x[:3] * x[1])],
    "computed": lambda x: [lax.cond(jnp.sum(x) > 0, lambda: jnp.sqrt(x * x + 1), lambda: -x * x * x)],
    "either": lambda p, x, y: [lax.cond(p, lambda: x, lambda: y)],
}


def cond_cases(rng):
    at = np.array([4, 0, 4], dtype=np.int64)
    rows = [
        ("sin_or_cube", [TRUE, real(rng, 2, 3), real(rng, 2, 3)]),
        ("sin_or_cube", [FALSE, real(rng, 2, 3), real(rng, 2, 3)]),
        ("sin_or_cube", [TRUE, real(rng), real(rng)]),
        ("sin_or_cube", [FALSE, real(rng, 0, 3), real(rng, 0, 3)]),
        ("two_outputs", [TRUE, real(rng, 5)]),
        ("two_outputs", [FALSE, real(rng, 5)]),
        ("each_reads_its_own", [TRUE, real(rng, 3), real(rng, 3)]),
        ("each_reads_its_own", [FALSE, real(rng, 3), real(rng, 3)]),
        ("matmul", [TRUE, real(rng, 2, 3), real(rng, 3, 5)]),
        ("matmul", [FALSE, real(rng, 2, 3), real(rng, 3, 5)]),
        ("nested", [TRUE, TRUE, real(rng)]),
        ("nested", [TRUE, FALSE, real(rng, 3, 2)]),
        ("nested", [FALSE, TRUE, real(rng, 2)]),
        ("of_scan", [TRUE, real(rng, 3)]),
        ("of_scan", [FALSE, real(rng, 3)]),
        ("gather", [TRUE, real(rng, 5), at]),
        ("gather", [FALSE, real(rng, 5), at]),
        ("computed", [np.abs(real(rng, 7))]),
        ("computed", [-np.abs(real(rng, 7))]),
    ]
    return [({"body": body}, COND[body], inputs) for body, inputs in rows]


# --- scan ------------------------------------------------------------------------------------------


def rnn(h0, xs, w, u):
    def step(h, x):
        h = jnp.tanh(w @ h + u @ x)
        return h, h

    return scan(step, h0, xs)


def cumsum(c, xs):
    return scan(lambda c, x: (c + x, c + x), c, xs)


def backwards(c, xs, w):
    def step(c, x):
        after = jnp.sin(c) * x + w
        return after, after * c

    return scan(step, c, xs, reverse=True)


def iterated(x):
    return scan(lambda c, _: (jnp.sin(c) * x, None), x, None, length=4)


def gated(h, c, a, b):
    def step(carry, ab):
        (h, c), (a, b) = carry, ab
        gate = jax.nn.sigmoid(a + h)
        c = gate * c + (1 - gate) * jnp.tanh(b)
        h = gate * jnp.tanh(c)
        return (h, c), h + c

    return scan(step, (h, c), (a, b))


def numbered(c, xs):
    def step(c, kx):
        k, x = kx
        c = c * (k + 1) + x * x
        return c, c * k

    return scan(step, c, (jnp.arange(xs.shape[0], dtype=jnp.float64), xs))


def branching(c, xs):
    def step(c, x):
        c = lax.cond(x > 0, lambda: c * jnp.sin(x), lambda: c - x * x)
        return c, c

    return scan(step, c, xs)


def nested(c, xs):
    def step(c, row):
        s, _ = lax.scan(lambda s, v: (s * 0.5 + jnp.tanh(v), None), jnp.sum(c), row)
        return c * s, s

    return scan(step, c, xs)


def products(c, xs):
    return scan(lambda c, x: (jnp.tanh(c @ x), None), c, xs)


SCAN = {f.__name__: f for f in (rnn, cumsum, backwards, iterated, gated, numbered, branching, nested, products)}


def scan_cases(rng):
    rows = [
        ("rnn", [(3,), (4, 2), (3, 3), (3, 2)]),
        ("rnn", [(2,), (1, 5), (2, 2), (2, 5)]),
        ("cumsum", [(), (5,)]),
        ("cumsum", [(2, 3), (4, 2, 3)]),
        ("cumsum", [(0, 3), (2, 0, 3)]),
        ("cumsum", [(2,), (0, 2)]),
        ("backwards", [(2,), (5, 2), (2,)]),
        ("backwards", [(), (3,), ()]),
        ("iterated", [(2, 3)]),
        ("iterated", [()]),
        ("gated", [(3,), (3,), (4, 3), (4, 3)]),
        ("numbered", [(2,), (3, 2)]),
        ("branching", [(), (6,)]),
        ("nested", [(2,), (3, 4)]),
        ("products", [(2, 3), (5, 3, 3)]),
    ]
    return [({"body": body}, SCAN[body], [real(rng, *shape) for shape in shapes]) for body, shapes in rows]


CONTROL = {"cond": cond_cases, "scan": scan_cases}
