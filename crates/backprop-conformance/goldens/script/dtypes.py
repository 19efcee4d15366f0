"""dtypes.json: every op in every element type that it takes, from NumPy and from Python's whole numbers.

A case is as in ops.json, with "dtype": the type of the operands that share one. A type that an op has no case for
is one that it must refuse. Pointwise ops of floats are not here: pointwise.json holds them. That fma rounds once, from mpmath.
"""

import operator

import mpmath
import numpy as np

from common import DTYPES, tensor, write
from ops_table import slice_

LONG = {short: np.dtype(long) for long, short in DTYPES.items()}
FLOATS, WHOLE = ["f64", "f32"], ["i64", "i32", "u32", "u8"]
NUMBERS = FLOATS + WHOLE
ALL = NUMBERS + ["bool"]


def wrapped(values, dtype):
    """Whole numbers of any size, their low bits kept."""
    bits = 8 * dtype.itemsize
    low = [int(v) & (2**bits - 1) for v in values]
    return np.array([v - 2**bits if np.issubdtype(dtype, np.signedinteger) and v >> (bits - 1) else v for v in low], dtype=dtype)


def some(rng, short, *shape):
    """Values that only this type holds: the ends of its range among whole numbers, f32's own digits."""
    dtype = LONG[short]
    if short == "bool":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    ends = np.iinfo(dtype)
    values = [rng.choice([ends.min, ends.max, ends.max - 1, ends.max // 3, int(rng.integers(0, 99)), 7, 0, 1]) for _ in range(int(np.prod(shape)))]
    if len(values) > 1:
        values[-1] = ends.max
    return np.array([int(v) for v in values], dtype=dtype).reshape(shape)


def whole(f, *xs):
    """f of Python's whole numbers, element by element, wrapped."""
    columns = [x.ravel().tolist() for x in xs]
    return wrapped([f(*row) for row in zip(*columns)], xs[0].dtype).reshape(xs[0].shape)


def truncated(a, b):
    return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)


UNARY = {"neg": operator.neg, "abs": abs, "sign": lambda x: (x > 0) - (x < 0), "square": lambda x: x * x}
BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": truncated, "pow": operator.pow, "maximum": max, "minimum": min}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
LOGIC = {"and": np.logical_and, "or": np.logical_or}


def saturated(x, to):
    """Float to whole number as Rust's `as`."""
    ends = np.iinfo(to)
    one = lambda v: 0 if np.isnan(v) else ends.max if v >= ends.max else ends.min if v <= ends.min else int(v)
    return np.array([one(v) for v in x.ravel().tolist()], dtype=to).reshape(x.shape)


def cast(x, to):
    if x.dtype.kind == "f" and to.kind in "iu":
        return saturated(x, to)
    if x.dtype.kind in "iu" and to.kind in "iu":
        return wrapped(x.ravel().tolist(), to).reshape(x.shape)
    return x.astype(to)


def summed(x, axis):
    """Of whole numbers exactly, wrapped; of f32 in f64, rounded once."""
    if x.dtype.kind == "f":
        return x.astype(np.float64).sum(axis=axis).astype(x.dtype)
    exact = x.astype(object).sum(axis=axis)
    return wrapped(np.ravel(exact), x.dtype).reshape(np.shape(exact))


def product(a, b):
    if a.dtype.kind == "f":
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype)
    return wrapped(np.ravel(a.astype(object) @ b.astype(object)), a.dtype).reshape(a.shape[0], b.shape[1])


def added_at(x, at, updates):
    if x.dtype == bool:
        y = x.copy()
        np.logical_or.at(y, at, updates)
        return y
    y = x.astype(np.float64 if x.dtype.kind == "f" else object)
    np.add.at(y, at, updates.astype(y.dtype))
    return y.astype(x.dtype) if x.dtype.kind == "f" else wrapped(y.ravel(), x.dtype).reshape(x.shape)


def logsumexp(x):
    x = x.astype(np.float64)
    return np.log(np.exp(x).sum(axis=1))


def steps(c, xs, f):
    """A scan's carry and results."""
    ys = []
    for x in xs:
        c = f(c, x)
        ys.append(c)
    return [c, np.array(ys).reshape(xs.shape)]


def fused(t):
    """Operands at which a·b + c rounds differently when the product is rounded by itself, and the sum rounded once."""
    digits = 24 if t == "f32" else 53
    e = 2.0 ** -(digits // 2)
    a, b = [1 + e, 1 - e, 3.0, 1 + e, 0.1, -7.5, np.inf, 0.0], [1 - e, 1 - e, -2.0, 1 + 3 * e, 10.0, 0.3, 2.0, np.inf]
    c = [-1.0, 2 * e - 1, 6.0, e**3, -1.0, 2.25, -np.inf, 1.0]
    a, b, c = (np.array(x, dtype=LONG[t]) for x in (a, b, c))
    with mpmath.workprec(digits):
        # mpmath has one zero; here a sum that cancels is +0.
        y = [mpmath.fadd(mpmath.fmul(float(p), float(q), exact=True), float(r)) for p, q, r in zip(a, b, c)]
    return [a, b, c], [np.array([float(v) for v in y], dtype=LONG[t])]


def cases():
    rng = np.random.default_rng(list(b"dtypes"))

    def row(op, dtype, params, inputs, outputs):
        inputs, outputs = [tensor(x) for x in inputs], [tensor(np.asarray(y)) for y in outputs]
        return {"op": op, "dtype": dtype, "params": params, "inputs": inputs, "outputs": outputs, "d": None, "dx": None, "v": None, "hvp": None}

    rows = []
    add = lambda *fields: rows.append(row(*fields))
    for t in WHOLE:
        ends = np.iinfo(LONG[t])
        x = np.array(sorted({ends.min, ends.min + 1, 0, 1, 2, 7, ends.max // 2 + 3, ends.max - 1, ends.max} | ({-1, -7} if ends.min else set())), dtype=LONG[t])
        for op, f in UNARY.items():
            add(op, t, {}, [x], [whole(f, x)])
        a, b = (g.ravel() for g in np.meshgrid(x, x, indexing="ij"))
        for op, f in BINARY.items():
            keep = np.ones(a.shape, bool)
            if op == "div":
                keep = b != 0
            if op == "pow":
                keep = (b >= 0) & (b <= 70)
            add(op, t, {}, [a[keep], b[keep]], [whole(f, a[keep], b[keep])])
    for t in FLOATS:
        add("fma", t, {}, *fused(t))
    for t in ALL:
        few = lambda *shape: some(rng, t, *shape)
        a, b = few(2, 7), few(2, 7)
        b[0, :3] = a[0, :3]
        if t in WHOLE:
            # Neighbours that f64 does not tell apart in 64 bits.
            top = np.iinfo(LONG[t]).max
            a[1, :3], b[1, :3] = [top, top - 1, top], [top - 1, top, top]
        for op, f in COMPARE.items():
            add(op, t, {}, [a, b], [f(a, b)])
        c, x = rng.random((3, 5)) < 0.5, few(3, 5)
        y = few(3, 5)
        add("select", t, {}, [c, x, y], [np.where(c, x, y)])
        for to in ALL:
            wild = np.array([0.0, -0.5, 1.75, -3e9, 5e9, 1e19, -1e19, 254.5, 300.0, np.nan, np.inf, -np.inf]).astype(x.dtype) if t in FLOATS else few(11)
            with np.errstate(all="ignore"):
                add("cast", t, {"dtype": to}, [wild], [cast(wild, LONG[to])])
        for op in ("stop_gradient", "identity"):
            add(op, t, {}, [x], [x])
        add("reshape", t, {"shape": [5, 3]}, [x], [x.reshape(5, 3)])
        add("transpose", t, {"perm": [1, 0]}, [x], [x.T])
        add("broadcast", t, {"shape": [2, 3, 5]}, [x], [np.broadcast_to(x, (2, 3, 5))])
        start, stop, step = [0, 1], [3, 5], [2, 3]
        add("slice", t, {"start": start, "stop": stop, "step": step}, [x], [slice_(x, start, stop, step)])
        low, high, interior = [1, 0], [0, 2], [0, 1]
        y = np.zeros((4, 11), dtype=x.dtype)
        y[1:, 0:9:2] = x
        add("pad", t, {"low": low, "high": high, "interior": interior}, [x], [y])
        more = few(3, 2)
        add("concat", t, {"axis": 1}, [x, more], [np.concatenate([x, more], axis=1)])
        for index in WHOLE:
            at = np.array([2, 0, 2, 1], dtype=LONG[index])
            add("gather", t, {"axis": 0}, [x, at], [x[at]])
            updates = few(4, 5)
            add("scatter_add", t, {"axis": 0}, [x, at, updates], [added_at(x, at, updates)])
            add("one_hot", index, {"depth": 3, "dtype": t}, [at], [(at[:, None] == np.arange(3)).astype(x.dtype)])
        p, z = rng.random() < 0.5, few(3, 5)
        add("cond", t, {"body": "either"}, [np.array(p), x, z], [x if p else z])
        value = {"f64": 0.1, "f32": 0.25, "i64": -(2**53) - 1, "i32": -(2**31), "u32": 2**32 - 1, "u8": 255, "bool": True}[t]
        add("full", t, {"type": f"{t}[2, 3]", "value": value}, [], [np.full((2, 3), value, dtype=x.dtype)])
        add("constant", t, {"array": tensor(x)}, [], [x])
        if t != "bool":
            add("sum", t, {"axes": [1]}, [x], [summed(x, 1)])
            add("sum", t, {"axes": [0, 1]}, [x], [summed(x, (0, 1))])
            add("max", t, {"axes": [0]}, [x], [x.max(axis=0)])
            add("argmax", t, {"axis": 1}, [x], [x.argmax(axis=1).astype(np.int64)])
            add("max_with_index", t, {"axis": 1}, [x], [x.max(axis=1), x.argmax(axis=1).astype(np.int64)])
            w = few(5, 2)
            flat = {"lhs_contract": [1], "rhs_contract": [0], "lhs_batch": [], "rhs_batch": []}
            add("contract", t, flat, [x, w], [product(x, w)])
            add("iota", t, {"type": f"{t}[3, 5]", "axis": 1}, [], [np.broadcast_to(np.arange(5), (3, 5)).astype(x.dtype)])
            plus = (lambda a, b: a + b) if t in FLOATS else (lambda a, b: wrapped([int(a) + int(b)], x.dtype)[0])
            c, xs = few(), few(4)
            add("scan", t, {"body": "cumsum"}, [c, xs], steps(c, xs, plus))
        else:
            add("any", t, {"axes": [1]}, [x], [x.any(axis=1)])
            add("not", t, {}, [x], [np.logical_not(x)])
            for op, f in LOGIC.items():
                add(op, t, {}, [x, z], [f(x, z)])
            c, xs = np.array(False), few(4)
            add("scan", t, {"body": "any"}, [c, xs], steps(c, xs, np.logical_or))
        if t in FLOATS:
            add("logsumexp", t, {"axes": [1]}, [x], [logsumexp(x).astype(x.dtype)])
            add("log_softmax", t, {"axes": [1]}, [x], [(x - logsumexp(x)[:, None]).astype(x.dtype)])
            add("norm", t, {}, [x], [np.linalg.norm(x.astype(np.float64)).astype(x.dtype)])
    for n in (0, 1, 2, 7, 64, 1000, 2**31 + 5, 2**53 - 1):
        add("dim_value", "i64", {"dim": n}, [], [np.array(n, dtype=np.int64)])
    return rows


def generate():
    write("dtypes.json", {"source": f"NumPy {np.__version__}"}, "cases", cases())


if __name__ == "__main__":
    generate()
