"""The cases of ops.json: op -> a function from a random generator to [(params, f, inputs[, options])].

`f` maps the inputs to a list of outputs. Options: `orders` (0 values only, 1 no Hessian), `note` (why a case is
special), `dx` (a gradient stated by convention where the formula has none).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ops_composites import COMPOSITES
from ops_control import CONTROL

NAN, INF = np.nan, np.inf


def real(rng, *shape):
    return rng.standard_normal(shape)


def whole(rng, n, *shape):
    return rng.integers(0, n, shape, dtype=np.int64)


def truth(rng, *shape):
    return rng.random(shape) < 0.5


def f64(values):
    return np.array(values, dtype=np.float64)


# --- Reductions ------------------------------------------------------------------------------------

AXES = [((7,), [0]), ((5, 7), [0]), ((5, 7), [1]), ((2, 5, 3), [1]), ((2, 5, 3), [0, 2]), ((3, 2, 7), [0, 1, 2]), ((2, 3, 1, 5), [2, 3]), ((13,), [0])]


def over(f, axes):
    return lambda x: [f(x, axis=tuple(axes))]


def reduction(f, extra):
    def cases(rng):
        found = [({"axes": axes}, over(f, axes), [real(rng, *shape)]) for shape, axes in AXES]
        return found + [({"axes": axes}, over(f, axes), [x], options) for axes, x, options in extra(rng)]

    return cases


def no_axes(rng):
    return [([], f64(1.75), {"note": "rank 0"}), ([], real(rng, 2, 3), {"note": "no axis: the identity"})]


def sum_extra(rng):
    empty = {"note": "over an axis of size 0"}
    return no_axes(rng) + [
        ([0], real(rng, 0, 3), empty),
        ([1], real(rng, 0, 3), {"note": "no output"}),
        ([1], f64([[2.5, INF, -1.0], [INF, -INF, 0.0], [NAN, 1.0, 2.0]]), {"orders": 1, "note": "non-finite"}),
        ([1], whole(rng, 9, 2, 5) - 4, {"note": "integers"}),
    ]


def mean_extra(rng):
    return no_axes(rng) + [([1], real(rng, 0, 3), {"note": "no output"})]


def max_extra(rng):
    tied = {"note": "ties share the cotangent equally"}
    return no_axes(rng) + [
        ([0], f64([1, 3, 2, 3, 3]), tied),
        ([1], f64([[2, 2, 1], [0, 5, 5]]), tied),
        ([0, 2], f64([[[1, 4], [2, 2], [0, 7]], [[4, 4], [2, 2], [7, -1]]]), tied),
        ([0], f64([-1.5] * 7), tied),
        ([1], real(rng, 0, 3), {"note": "no output"}),
        ([0], whole(rng, 9, 5, 2) - 4, {"note": "integers"}),
        ([1], f64([[1, NAN, 3], [NAN, -INF, INF], [-INF, -INF, -INF], [2, INF, 1]]), {"orders": 0, "note": "NaN propagates"}),
    ]


def logsumexp_extra(rng):
    return no_axes(rng) + [
        ([1], f64([[1000, 1000.5, 999], [-1000, -1001, -1003]]), {"note": "large magnitudes"}),
        ([0], f64([700, -800, 709.5, 0]), {"note": "large magnitudes"}),
        ([0], f64([0.5, -INF, 1.25]), {"orders": 1, "note": "an entry of -inf gets gradient 0"}),
        ([1], f64([[-INF, -INF], [INF, 1.0], [NAN, 1.0], [-INF, INF]]), {"orders": 0, "note": "non-finite"}),
        ([1], real(rng, 0, 3), {"note": "no output"}),
    ]


def logsumexp(x, axis):
    return x if axis == () else jax.scipy.special.logsumexp(x, axis=axis)


def any_cases(rng):
    shapes = AXES + [((), []), ((2, 3), []), ((0, 3), [0]), ((0, 3), [1])]
    return [({"axes": a}, over(lambda x, axis: np.any(x, axis=axis), a), [rng.random(s) < 0.25]) for s, a in shapes]


ARG_INPUTS = [((7,), 0), ((5, 7), 0), ((5, 7), 1), ((2, 5, 3), 0), ((2, 5, 3), 1), ((2, 5, 3), 2), ((0, 3), 1), ((11,), 0), ((1, 13), 0)]
ARG_TIES = [(f64([[1, 3, 3], [5, 2, 5]]), 1, "ties: the first"), (f64([[1, 3, 3], [1, 2, 5]]), 0, "ties: the first"), (f64([-1.5] * 5), 0, "ties: the first")]
ARG_NANS = [(f64([[1, NAN, 3, NAN], [-INF, -INF, -INF, -INF]]), 1, "NaN counts as the greatest: the first NaN")]


def argmax_cases(rng):
    def f(axis):
        return lambda x: [np.argmax(x, axis=axis).astype(np.int64)]

    found = [({"axis": a}, f(a), [real(rng, *s)]) for s, a in ARG_INPUTS]
    found += [({"axis": 1}, f(1), [whole(rng, 9, 3, 5)])]
    return found + [({"axis": a}, f(a), [x], {"note": n}) for x, a, n in ARG_TIES + ARG_NANS]


def max_with_index_cases(rng):
    def f(axis):
        def both(x):
            idx = jnp.argmax(x, axis=axis)
            values = jnp.take_along_axis(x, jnp.expand_dims(idx, axis), axis=axis)
            return [jnp.squeeze(values, axis), idx]

        return both

    found = [({"axis": a}, f(a), [real(rng, *s)]) for s, a in ARG_INPUTS]
    return found + [({"axis": a}, f(a), [x], {"orders": 0, "note": n}) for x, a, n in ARG_TIES + ARG_NANS]


# --- Shape -------------------------------------------------------------------------------------------


def by_params(f, rows):
    """rows: [(shape, params)]; one f64 input."""
    return lambda rng: [(params, (lambda p: lambda x: [f(x, **p)])(params), [real(rng, *shape)]) for shape, params in rows]


RESHAPES = [((2, 3), [3, 2]), ((6,), [2, 3]), ((2, 3, 5), [5, 6]), ((2, 3, 5), [30]), ((), [1, 1]), ((1, 1), []), ((0, 3), [7, 0]), ((7, 1, 2), [2, 7]), ((5,), [5])]
TRANSPOSES = [((2, 3), [1, 0]), ((2, 3, 5), [2, 0, 1]), ((2, 3, 5), [1, 2, 0]), ((2, 3, 5), [0, 2, 1]), ((2, 1, 3, 5), [3, 1, 0, 2]), ((), []), ((7,), [0]), ((0, 3), [1, 0]), ((2, 3), [0, 1])]
BROADCASTS = [((3,), [2, 3]), ((1, 3), [5, 3]), ((2, 1), [2, 7]), ((), [2, 3]), ((2, 1, 3), [2, 5, 3]), ((1,), [11]), ((3, 1), [2, 3, 5]), ((1, 3), [0, 3]), ((), []), ((2, 3), [2, 3]), ((1, 1), [0, 7])]
SLICES = [
    ((7,), [1], [6], [1]), ((11,), [1], [11], [3]), ((5, 7), [1, 2], [4, 7], [1, 2]), ((5, 7), [0, 0], [5, 7], [1, 1]), ((2, 5, 3), [1, 0, 1], [2, 5, 3], [1, 2, 1]),
    ((7,), [3], [3], [1]), ((), [], [], []), ((0, 3), [0, 1], [0, 3], [1, 1]), ((13,), [2], [12], [5]), ((7,), [6], [7], [2]),
]
PADS = [((3,), [1], [2]), ((2, 3), [0, 1], [2, 0]), ((2, 3), [1, 1], [1, 1]), ((2, 3, 1), [0, 2, 1], [1, 0, 0]), ((), [], []), ((0, 3), [1, 0], [1, 2]), ((5,), [0], [0]), ((5, 2), [0, 3], [0, 0])]
SPREADS = [((3,), [1], [2], [2]), ((2, 3), [0, 1], [2, 0], [3, 1]), ((0, 2), [1, 0], [0, 1], [0, 1])]  # no gaps among no elements: there ours counts one less than none (ops/part.rs)


def pad(x, low, high, interior=None):
    return lax.pad(x, jnp.zeros((), x.dtype), list(zip(low, high, interior or [0] * len(low))))


def slice_(x, start, stop, step):
    return x[tuple(slice(a, b, s) for a, b, s in zip(start, stop, step))]


def concat_cases(rng):
    rows = [(0, [(2,), (3,)]), (0, [(2, 3), (5, 3)]), (1, [(2, 3), (2, 1)]), (1, [(2, 3), (2, 5), (2, 2)]), (2, [(2, 3, 1), (2, 3, 5)]), (1, [(2, 3, 5), (2, 2, 5), (2, 1, 5)]), (0, [(0, 3), (2, 3)]), (1, [(0, 3), (0, 2)]), (0, [(7,)])]
    return [({"axis": a}, (lambda a: lambda *xs: [jnp.concatenate(xs, axis=a)])(a), [real(rng, *s) for s in shapes]) for a, shapes in rows]


INDEXED = [((7,), 0, (3,)), ((7,), 0, (2, 5)), ((5, 3), 0, (7,)), ((5, 3), 1, (2,)), ((2, 5, 3), 1, (3, 2)), ((2, 5, 3), 2, (1, 5)), ((2, 5, 3), 0, ()), ((5,), 0, ()), ((5, 3), 0, (0,)), ((0, 3), 1, (2,)), ((3, 2), 0, (11,))]


def gather_cases(rng):
    found = []
    for shape, axis, idx_shape in INDEXED:
        f = lambda x, idx, axis=axis: [jnp.take(x, idx, axis=axis)]
        found.append(({"axis": axis}, f, [real(rng, *shape), whole(rng, shape[axis], *idx_shape)]))
    return found


def scatter_add_cases(rng):
    found = []
    for shape, axis, idx_shape in INDEXED:
        f = lambda x, idx, u, axis=axis: [jnp.asarray(x).at[(slice(None),) * axis + (idx,)].add(u)]
        updates = shape[:axis] + idx_shape + shape[axis + 1 :]
        found.append(({"axis": axis}, f, [real(rng, *shape), whole(rng, shape[axis], *idx_shape), real(rng, *updates)]))
    same = np.array([2, 2, 0, 2, 2], dtype=np.int64)
    f = lambda x, idx, u: [jnp.asarray(x).at[idx].add(u)]
    found.append(({"axis": 0}, f, [real(rng, 3, 2), same, real(rng, 5, 2)], {"note": "duplicates add"}))
    return found


def one_hot_cases(rng):
    rows = [(5, (3,)), (3, (2, 5)), (7, ()), (1, (2,)), (2, (2, 3, 1)), (11, (5,)), (3, (0,)), (13, (2, 2))]
    f = lambda n: lambda idx: [(np.asarray(idx)[..., None] == np.arange(n)).astype(np.float64)]
    return [({"depth": n, "dtype": "f64"}, f(n), [whole(rng, n, *s)]) for n, s in rows]


def iota_cases(rng):
    rows = [((7,), 0, "f64"), ((2, 3), 0, "f64"), ((2, 3), 1, "i64"), ((2, 3, 5), 1, "i64"), ((2, 3, 5), 2, "f32"), ((5, 2), 0, "i32"), ((0, 3), 1, "f64"), ((0,), 0, "i64"), ((13,), 0, "u8")]
    long = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "u8": "uint8"}

    def f(shape, axis, dtype):
        line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return lambda: [np.broadcast_to(line, shape).astype(long[dtype])]

    return [({"type": f"{t}{list(s)}", "axis": a}, f(s, a, t), []) for s, a, t in rows]


# --- Elementwise with types -----------------------------------------------------------------------------

SHAPES = [(7,), (2, 3), (5, 2), (2, 3, 5), (), (0, 3), (1, 11), (3, 1, 2)]


def select_cases(rng):
    f = lambda c, a, b: [jnp.where(c, a, b)]
    found = [({}, f, [truth(rng, *s), real(rng, *s), real(rng, *s)]) for s in SHAPES]
    masked = [np.array([True, False, True]), f64([1.5, NAN, 2.0]), f64([INF, -4.0, NAN])]
    ints = [truth(rng, 5), whole(rng, 9, 5), whole(rng, 9, 5)]
    return found + [({}, f, masked, {"orders": 1, "note": "what is not chosen has no influence"}), ({}, f, ints)]


def fma_cases(rng):
    # Rounded twice here: what rounding once means, dtypes.json holds.
    return [({}, lambda a, b, c: [jnp.asarray(a) * b + c], [real(rng, *s), real(rng, *s), real(rng, *s)]) for s in SHAPES]


def saturate(dtype):
    """Float to integer as Rust's `as`: toward zero, saturating, NaN to 0."""
    info = np.iinfo(dtype)

    def one(v):
        return 0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v)

    return lambda x: [np.array([one(v) for v in np.ravel(x)], dtype=dtype).reshape(np.shape(x))]


def cast_cases(rng):
    def to(short, dtype):
        return {"dtype": short}, lambda x: [jnp.asarray(x).astype(dtype)]

    wild = f64([0.5, -0.5, 1.999, -1.999, 2.5, NAN, INF, -INF, 3e9, -3e9, 1e19, -1e19, 255.5, 256.0, -0.0, 2147483647.5])
    big = np.array([2**53 + 1, 2**24 + 1, -(2**62) - 1, 2**63 - 1, 0, -7], dtype=np.int64)
    wrap = np.array([2**31, 2**32 + 5, -(2**31) - 1, 256, 300, -1], dtype=np.int64)
    numpy = lambda dtype: lambda x: [x.astype(dtype)]
    wraps = {"note": "integer to narrower integer keeps the low bits, as Rust's `as`"}
    return [
        ({"dtype": "i32"}, saturate(np.int32), [wild], {"note": "saturates; NaN gives 0"}),
        ({"dtype": "i64"}, saturate(np.int64), [wild], {"note": "saturates; NaN gives 0"}),
        ({"dtype": "u8"}, saturate(np.uint8), [wild], {"note": "saturates; NaN gives 0"}),
        ({"dtype": "u32"}, saturate(np.uint32), [wild], {"note": "saturates; NaN gives 0"}),
        ({"dtype": "i32"}, saturate(np.int32), [wild[:10].astype(np.float32)], {"note": "saturates; NaN gives 0"}),
        (*to("f32", np.float32), [real(rng, 5, 3)]),
        (*to("f32", np.float32), [f64([1e39, -1e39, 1e-46, 0.1, 16777217.0, NAN, INF])], {"orders": 0, "note": "rounds to nearest even; overflow gives infinity"}),
        (*to("f64", np.float64), [real(rng, 2, 7).astype(np.float32)]),
        (*to("f64", np.float64), [real(rng, 2, 3)]),
        (*to("f32", np.float32), [f64(0.1)]),
        (*to("f32", np.float32), [real(rng, 0, 3)]),
        ({"dtype": "f32"}, numpy(np.float32), [big], {"note": "rounds to nearest even"}),
        ({"dtype": "f64"}, numpy(np.float64), [big], {"note": "rounds to nearest even"}),
        ({"dtype": "i32"}, numpy(np.int32), [wrap], wraps),
        ({"dtype": "u8"}, numpy(np.uint8), [wrap], wraps),
        ({"dtype": "u32"}, numpy(np.uint32), [wrap], wraps),
        ({"dtype": "i64"}, numpy(np.int64), [np.array([[7, -1, 3]], dtype=np.int32)]),
        ({"dtype": "f64"}, numpy(np.float64), [truth(rng, 2, 3)]),
        ({"dtype": "i64"}, numpy(np.int64), [truth(rng, 5)]),
        ({"dtype": "bool"}, numpy(np.bool_), [f64([0.0, -0.0, 0.5, -3.0, INF])], {"note": "not equal to zero"}),
    ]


def stop_gradient_cases(rng):
    return [({}, lambda x: [np.asarray(x)], [real(rng, *s)], {"orders": 0}) for s in SHAPES]


# --- Products -------------------------------------------------------------------------------------------

MATMULS = [
    ((2, 3), (3, 5)), ((7, 2), (2, 1)), ((2, 3, 5), (2, 5, 1)), ((3, 2, 5), (5, 3)), ((2, 5), (3, 5, 2)), ((2, 1, 3, 2), (5, 2, 1)), ((1, 2, 3), (7, 3, 1)),
    ((5,), (5,)), ((5,), (5, 3)), ((2, 3), (3,)), ((2, 3, 5), (5,)), ((3,), (2, 3, 5)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (0, 3, 5)),
]
CONTRACTS = [
    # lhs, rhs, lhs_contract, rhs_contract, lhs_batch, rhs_batch
    ((2, 3), (3, 5), [1], [0], [], []), ((3, 2), (5, 3), [0], [1], [], []), ((2, 3, 5), (2, 5, 3), [2], [1], [0], [0]), ((3, 2, 5), (5, 3, 2), [0, 2], [1, 0], [], []),
    ((2, 3), (5, 2), [], [], [], []), ((2, 3, 5), (3, 5, 2), [1, 2], [0, 1], [0], [2]), ((5, 2, 3), (2, 7, 5), [0], [2], [1], [0]), ((7,), (7,), [0], [0], [], []),
    ((7,), (7,), [], [], [0], [0]), ((2, 3, 1, 5), (3, 5, 2), [3], [1], [0, 1], [2, 0]), ((), (2, 3), [], [], [], []), ((), (), [], [], [], []), ((0, 3), (3, 2), [1], [0], [], []), ((2, 0), (0, 3), [1], [0], [], []),
]


def matmul_cases(rng):
    return [({}, lambda a, b: [jnp.matmul(a, b)], [real(rng, *a), real(rng, *b)]) for a, b in MATMULS]


def contract_cases(rng):
    found = []
    for a, b, lc, rc, lb, rb in CONTRACTS:
        params = {"lhs_contract": lc, "rhs_contract": rc, "lhs_batch": lb, "rhs_batch": rb}
        f = lambda x, y, n=((lc, rc), (lb, rb)): [lax.dot_general(x, y, n)]
        found.append((params, f, [real(rng, *a), real(rng, *b)]))
    return found


# --- Truth ----------------------------------------------------------------------------------------------


def comparison(f):
    wild = (f64([0.0, NAN, 1.0, NAN, INF, -INF, 2.0, 1.0]), f64([-0.0, NAN, NAN, 1.0, INF, INF, 1.0, 2.0]))

    def cases(rng):
        few = lambda s: np.round(2 * real(rng, *s)) / 2
        found = [({}, lambda a, b: [f(a, b)], [few(s), few(s)]) for s in SHAPES]
        return found + [({}, lambda a, b: [f(a, b)], pair) for pair in ([*wild], [whole(rng, 3, 2, 7), whole(rng, 3, 2, 7)])]

    return cases


def logical(f, arity):
    return lambda rng: [({}, lambda *xs: [f(*xs)], [truth(rng, *s) for _ in range(arity)]) for s in SHAPES]


TABLE = {
    "sum": reduction(jnp.sum, sum_extra),
    "mean": reduction(jnp.mean, mean_extra),
    "max": reduction(jnp.max, max_extra),
    "logsumexp": reduction(logsumexp, logsumexp_extra),
    "any": any_cases,
    "argmax": argmax_cases,
    "max_with_index": max_with_index_cases,
    "reshape": by_params(lambda x, shape: jnp.reshape(x, shape), [(s, {"shape": to}) for s, to in RESHAPES]),
    "transpose": by_params(lambda x, perm: jnp.transpose(x, perm), [(s, {"perm": p}) for s, p in TRANSPOSES]),
    "broadcast": by_params(lambda x, shape: jnp.broadcast_to(x, shape), [(s, {"shape": to}) for s, to in BROADCASTS]),
    "slice": by_params(slice_, [(s, {"start": a, "stop": b, "step": c}) for s, a, b, c in SLICES]),
    "pad": by_params(pad, [(s, {"low": a, "high": b}) for s, a, b in PADS] + [(s, {"low": a, "high": b, "interior": c}) for s, a, b, c in SPREADS]),
    "concat": concat_cases,
    "gather": gather_cases,
    "scatter_add": scatter_add_cases,
    "one_hot": one_hot_cases,
    "iota": iota_cases,
    "select": select_cases,
    "fma": fma_cases,
    "cast": cast_cases,
    "stop_gradient": stop_gradient_cases,
    "matmul": matmul_cases,
    "contract": contract_cases,
    "eq": comparison(np.equal),
    "ne": comparison(np.not_equal),
    "lt": comparison(np.less),
    "le": comparison(np.less_equal),
    "gt": comparison(np.greater),
    "ge": comparison(np.greater_equal),
    "and": logical(np.logical_and, 2),
    "or": logical(np.logical_or, 2),
    "not": logical(np.logical_not, 1),
    **COMPOSITES,
    **CONTROL,
}
