"""ops.json: outputs, vector-Jacobian products and Hessian-vector products of the ops on tensors, from JAX in f64."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

from common import tensor, write
from ops_table import TABLE

jax.config.update("jax_enable_x64", True)


def is_float(array):
    return np.asarray(array).dtype.kind == "f"


def optional(arrays):
    return [None if a is None else tensor(a) for a in arrays]


def normal(rng, like):
    like = np.asarray(like)
    return rng.standard_normal(like.shape).astype(like.dtype)


def derive(f, inputs, rng, orders, d_mask):
    """The fields "d", "dx", "v" and "hvp" of a case; absent ones are null."""
    outputs = f(*inputs)
    fixed = dict(d=None, dx=None, v=None, hvp=None)
    wanted = [i for i, x in enumerate(inputs) if is_float(x)]
    sources = [i for i, y in enumerate(outputs) if is_float(y) and d_mask is not False]
    if orders == 0 or not wanted or not sources:
        return fixed
    d = [normal(rng, y) if i in sources else None for i, y in enumerate(outputs)]

    def of_floats(xs):
        full = list(inputs)
        for i, x in zip(wanted, xs):
            full[i] = x
        ys = f(*full)
        return [ys[i] for i in sources]

    def gradient(xs):
        _, pull = jax.vjp(of_floats, xs)
        return pull([jnp.asarray(d[i]) for i in sources])[0]

    def spread(values):
        full = [None] * len(inputs)
        for i, value in zip(wanted, values):
            full[i] = value
        return full

    xs = [jnp.asarray(inputs[i]) for i in wanted]
    fixed |= dict(d=optional(d), dx=optional(spread(gradient(xs))))
    if orders >= 2:
        v = [normal(rng, x) for x in xs]
        product = lambda xs: sum(jnp.vdot(g, w).astype(jnp.float64) for g, w in zip(gradient(xs), v))
        fixed |= dict(v=optional(spread(v)), hvp=optional(spread(jax.grad(product)(xs))))
    return fixed


def generate():
    rows = []
    for name, cases in TABLE.items():
        assert len(cases(np.random.default_rng(0))) >= 8, name
        rng = np.random.default_rng(list(name.encode()))
        for case in cases(rng):
            params, f, inputs = case[:3]
            options = case[3] if len(case) > 3 else {}
            row = {"op": name, "params": params}
            if "note" in options:
                row["note"] = options["note"]
            outputs = [np.asarray(y) for y in f(*inputs)]
            assert all(np.asarray(a).size <= 70 for a in [*inputs, *outputs]), name
            row |= {"inputs": [tensor(x) for x in inputs], "outputs": [tensor(y) for y in outputs]}
            row |= derive(f, inputs, rng, options.get("orders", 2), options.get("d_mask"))
            if "dx" in options:
                row["dx"] = [tensor(g) for g in options["dx"]]
            rows.append(row)
    write("ops.json", {"source": f"JAX {jax.__version__} and NumPy {np.__version__}, f64, CPU"}, "cases", rows)


if __name__ == "__main__":
    generate()
