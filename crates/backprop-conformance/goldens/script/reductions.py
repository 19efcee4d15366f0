"""reductions.json: at least 64 cases of every reduction, from mpmath at 60 digits; the format of ops.json.

Derivatives are taken by mpmath as well: with eps = 10^-25 the quotient of central differences is right to 48 digits.
Operands of `max` are distinct; its ties stand in ops.json.
"""

import random

import numpy as np
from mpmath import mp, mpf

from common import DIGITS, tensor, to_f64, write

N_CASES = 64
SHAPES = [((), []), ((7,), [0]), ((3, 2), [0]), ((2, 3), [1]), ((2, 3), [0, 1]), ((2, 1, 5), [1, 2]), ((2, 3, 2), [1]), ((3, 2, 1), [0, 2]), ((1, 5), [0]), ((5, 1), []), ((2, 0), [0]), ((2, 3, 2), [0, 1, 2])]
ALONG = [((7,), 0), ((3, 2), 0), ((2, 3), 1), ((2, 3, 2), 1), ((3, 1, 2), 2), ((2, 5), 1), ((1, 5), 0), ((2, 2, 3), 0)]
SCALES = [1, 1, 3, 0.01, 100, 1e6, 1e-9, 700]


def largest(line):
    return max(range(len(line)), key=lambda i: line[i])


# op -> the results of one line of numbers
SMOOTH = {
    "sum": lambda line: mp.fsum(line),
    "mean": lambda line: mp.fsum(line) / len(line),
    "max": lambda line: line[largest(line)],
    "logsumexp": lambda line: mp.log(mp.fsum(mp.exp(x) for x in line)),
    "norm": lambda line: mp.sqrt(mp.fsum(x * x for x in line)),
}


def lines(shape, axes):
    """For each element of the result, the places in the operand that it is made from."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    kept = [n for axis, n in enumerate(shape) if axis not in axes]
    moved = np.moveaxis(places, axes, range(len(shape) - len(axes), len(shape))) if axes else places
    n = int(np.prod(kept))
    return kept, moved.reshape(n, places.size // n if n else 0).tolist()


def gradient(f, line):
    h = mpf(10) ** -25
    moved = lambda i, by: [x + by * (i == j) for j, x in enumerate(line)]
    return [(f(moved(i, h)) - f(moved(i, -h))) / (2 * h) for i in range(len(line))]


def bend(f, line, v):
    """The derivative of the gradient along v."""
    h = mpf(10) ** -20
    up, down = (gradient(f, [x + s * h * w for x, w in zip(line, v)]) for s in (1, -1))
    return [(a - b) / (2 * h) for a, b in zip(up, down)]


def clean(value):
    """A difference that is zero but for the digits that were carried."""
    return 0.0 if abs(value) < mpf(10) ** -25 else to_f64(value)


def array(values, shape):
    return np.array(values, dtype=np.float64).reshape(shape)


def operand(rng, shape, scale):
    return [scale * rng.gauss(0, 1) for _ in range(int(np.prod(shape)))]


def smooth(op, rng, idx):
    f, scale = SMOOTH[op], SCALES[idx % len(SCALES)]
    shape, axes = SHAPES[idx % len(SHAPES)] if idx % 5 else SHAPES[(idx // 5) % len(SHAPES)]
    if 0 in shape and op != "sum":
        shape, axes = (0, 3), [1]
    if op == "norm":
        shape = shape if 0 not in shape else (4,)
        axes = list(range(len(shape)))
    x = operand(rng, shape, scale)
    kept, groups = lines(shape, axes)
    d, v = [rng.gauss(0, 1) for _ in groups], [rng.gauss(0, 1) for _ in x]
    y, dx, hvp = [], [0.0] * len(x), [0.0] * len(x)
    for group, weight in zip(groups, d):
        line = [mpf(x[i]) for i in group]
        y.append(to_f64(f(line)))
        first, second = gradient(f, line), bend(f, line, [mpf(v[i]) for i in group])
        for i, a, b in zip(group, first, second):
            dx[i], hvp[i] = clean(weight * a), clean(weight * b)
    params = {} if op == "norm" else {"axes": axes}
    fields = {"inputs": [tensor(array(x, shape))], "outputs": [tensor(array(y, kept))], "d": [tensor(array(d, kept))]}
    return {"op": op, "params": params, **fields, "dx": [tensor(array(dx, shape))], "v": [tensor(array(v, shape))], "hvp": [tensor(array(hvp, shape))]}


def indexed(op, rng, idx):
    shape, axis = ALONG[idx % len(ALONG)]
    x = operand(rng, shape, SCALES[(idx // 3) % len(SCALES)])
    kept, groups = lines(shape, [axis])
    best = [largest([x[i] for i in group]) for group in groups]
    index = tensor(np.array(best, dtype=np.int64).reshape(kept))
    row = {"op": op, "params": {"axis": axis}, "inputs": [tensor(array(x, shape))]}
    if op == "argmax":
        return row | {"outputs": [index], "d": None, "dx": None, "v": None, "hvp": None}
    d, v = [rng.gauss(0, 1) for _ in groups], [rng.gauss(0, 1) for _ in x]
    dx = [0.0] * len(x)
    for group, at, weight in zip(groups, best, d):
        dx[group[at]] = weight
    values = array([x[group[at]] for group, at in zip(groups, best)], kept)
    fields = {"outputs": [tensor(values), index], "d": [tensor(array(d, kept)), None], "dx": [tensor(array(dx, shape))]}
    return row | fields | {"v": [tensor(array(v, shape))], "hvp": [tensor(np.zeros(shape))]}


def truths(op, rng, idx):
    shape, axes = SHAPES[idx % len(SHAPES)]
    x = [rng.random() < 0.3 for _ in range(int(np.prod(shape)))]
    kept, groups = lines(shape, axes)
    y = [any(x[i] for i in group) for group in groups]
    tensors = {"inputs": [tensor(np.array(x, dtype=bool).reshape(shape))], "outputs": [tensor(np.array(y, dtype=bool).reshape(kept))]}
    return {"op": op, "params": {"axes": axes}, **tensors, "d": None, "dx": None, "v": None, "hvp": None}


def generate():
    mp.dps = DIGITS + 60
    rows = []
    makers = [(op, smooth) for op in SMOOTH] + [("argmax", indexed), ("max_with_index", indexed), ("any", truths)]
    for op, make in makers:
        rng = random.Random(f"backprop {op}")
        rows += [make(op, rng, idx) for idx in range(N_CASES)]
    write("reductions.json", {"source": f"mpmath, {DIGITS} digits"}, "cases", rows)


if __name__ == "__main__":
    generate()
