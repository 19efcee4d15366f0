"""Checks the committed JSON files by other means than the ones that made them; writes nothing.

pointwise.json by differences at 200 digits, ops.json by differences and PyTorch, reductions.json by
PyTorch, dtypes.json by JAX, optimizers.json by NumPy.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax
from mpmath import mp, mpf

import pointwise
from common import OUT, number, untensor
from ops_table import TABLE

jax.config.update("jax_enable_x64", True)


def load(name):
    return json.loads((OUT / name).read_text())


# --- pointwise.json ------------------------------------------------------------------------------


def near(got, want, size):
    return abs(got - want) <= mpf(10) ** -14 * abs(want) + mpf(10) ** -55 * max(1, size)


def steps(*xs):
    return [mpf(10) ** -40 * (abs(x) or 1) for x in xs]


def check_unary(op, points):
    f, kink = pointwise.UNARY[op][0], pointwise.KINKS.get(op, lambda x: False)
    for x, y, y1, y2 in points:
        a = mpf(x)
        (h,) = steps(a)
        assert near(f(a), mpf(y), 0), (op, x)
        if kink(x):
            continue
        size = abs(f(a))
        assert near((f(a + h) - f(a - h)) / (2 * h), mpf(y1), size), (op, x, "slope")
        assert near((f(a + h) - 2 * f(a) + f(a - h)) / h**2, mpf(y2), size), (op, x, "curvature")


def check_binary(op, points):
    f = lambda a, b: pointwise.BINARY[op](a, b)[0]
    for x1, x2, *want in points:
        a, b = mpf(x1), mpf(x2)
        h, k = steps(a, b)
        mixed = f(a + h, b + k) - f(a + h, b - k) - f(a - h, b + k) + f(a - h, b - k)
        got = [
            f(a, b),
            (f(a + h, b) - f(a - h, b)) / (2 * h),
            (f(a, b + k) - f(a, b - k)) / (2 * k),
            (f(a + h, b) - 2 * f(a, b) + f(a - h, b)) / h**2,
            mixed / (4 * h * k),
            (f(a, b + k) - 2 * f(a, b) + f(a, b - k)) / k**2,
        ]
        for i, (g, w) in enumerate(zip(got, want)):
            assert near(g, mpf(w), abs(got[0])), (op, x1, x2, i, g, w)


def check_pow_const(rows):
    f = lambda x, n: mpf(x) ** int(n)
    for x, n, y, y1, y2 in rows:
        (h,) = steps(mpf(x))
        got = [f(x, n), (f(x + h, n) - f(x - h, n)) / (2 * h), (f(x + h, n) - 2 * f(x, n) + f(x - h, n)) / h**2]
        # At x = 0 the differences carry a term h or smaller.
        assert all(abs(g - w) <= 1e-14 * abs(w) + 1e-30 for g, w in zip(got, (y, y1, y2))), (x, n, got)


# IEEE behaviour as NumPy and PyTorch have it.
LIBRARY = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "log1p": np.log1p, "expm1": np.expm1, "reciprocal": np.reciprocal, "square": np.square, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "sigmoid": torch.sigmoid, "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)), "erf": torch.erf, "erfc": torch.erfc, "relu": torch.relu,
    "gelu": torch.nn.functional.gelu, "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"), "silu": torch.nn.functional.silu,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "maximum": np.maximum, "minimum": np.minimum,
}


def check_library(op, table, arity):
    f = LIBRARY[op]
    convert = np.float64 if isinstance(f, np.ufunc) else lambda v: torch.tensor([v], dtype=torch.float64)
    for kind, width in (("points", arity + 1), ("special", arity + 1)):
        for row in table[kind]:
            *xs, want = [float(v) for v in row[:width]]
            with np.errstate(all="ignore"):
                got = float(f(*[convert(x) for x in xs]))
            if kind == "special":
                same = number(got) == number(want) and (want != 0 or np.signbit(got) == np.signbit(want))
                assert same or (op == "relu" and got == want == 0), (op, xs, got, want)
            else:
                # A library may lose digits where gelu's ½(1 + erf) cancels.
                assert np.isclose(got, want, rtol=1e-12, atol=1e-15), (op, xs, got, want)


def check_pointwise():
    mp.dps = 200
    tables = load("pointwise.json")["ops"]
    for op, table in tables.items():
        check = check_unary if table["arity"] == 1 else check_binary
        check(op, table["points"])
        if op in LIBRARY:
            check_library(op, table, table["arity"])
    check_pow_const(tables["pow"]["pow_const"])
    return sum(len(t["points"]) for t in tables.values())


# --- ops.json --------------------------------------------------------------------------------------


def dot(xs, ys):
    return sum(float(np.sum(x * y)) for x, y in zip(xs, ys) if x is not None and y is not None)


def arrays(records):
    return None if records is None else [None if r is None else untensor(r) for r in records]


def moved(xs, *moves):
    out = list(xs)
    for h, us in moves:
        out = [x if u is None else x + h * u for x, u in zip(out, us)]
    return out


def check_differences(f, case, rng):
    """<d, f> along a random u against <dx, u>, and its mixed second difference along u and v against <hvp, u>."""
    xs, d, dx, v, hvp = (arrays(case[k]) for k in ("inputs", "d", "dx", "v", "hvp"))
    value = lambda at: dot(d, [np.asarray(y) for y in f(*at)])
    u = [None if g is None else rng.standard_normal(g.shape) for g in dx]
    size = 1 + abs(value(xs)) + sum(float(np.abs(y).sum()) for y in [*arrays(case["outputs"]), *(g * w for g, w in zip(dx, u) if g is not None)])
    h = 1e-5
    slope = (value(moved(xs, (h, u))) - value(moved(xs, (-h, u)))) / (2 * h)
    assert abs(slope - dot(dx, u)) < 1e-8 * size, (case["op"], case["params"], slope, dot(dx, u))
    if hvp is not None:
        h = 1e-4
        corner = lambda s, t: value(moved(xs, (s * h, u), (t * h, v)))
        bend = (corner(1, 1) - corner(1, -1) - corner(-1, 1) + corner(-1, -1)) / (4 * h * h)
        size += sum(float(np.abs(g * w).sum()) for g, w in zip(hvp, u) if g is not None)
        assert abs(bend - dot(hvp, u)) < 1e-5 * size, (case["op"], case["params"], bend, dot(hvp, u))


def torch_pad(x, low, high, interior):
    """Written into zeros: PyTorch's own pad has no gaps."""
    sizes = [a + (n + (n - 1) * gap if n else 0) + b for a, n, gap, b in zip(low, x.shape, interior, high)]
    at = tuple(slice(a, a + n + (n - 1) * gap if n else a, gap + 1) for a, n, gap in zip(low, x.shape, interior))
    return torch.zeros(sizes, dtype=x.dtype).index_put(tuple(torch.meshgrid(*[torch.arange(n)[i] for n, i in zip(sizes, at)], indexing="ij")), x) if x.ndim else x * 1


F = torch.nn.functional
AXES = lambda f: lambda p, x: f(x, dim=tuple(p["axes"])) if p["axes"] else x * 1
TORCH = {
    "sum": AXES(torch.sum),
    "mean": AXES(torch.mean),
    "max": AXES(torch.amax),
    "logsumexp": AXES(torch.logsumexp),
    "any": lambda p, x: torch.any(x, dim=tuple(p["axes"])) if p["axes"] else x,
    "argmax": lambda p, x: torch.argmax(x, dim=p["axis"]),
    "max_with_index": lambda p, x: torch.max(x, dim=p["axis"]),
    "reshape": lambda p, x: x.reshape(p["shape"]),
    "transpose": lambda p, x: x.permute(p["perm"]),
    "broadcast": lambda p, x: x.broadcast_to(p["shape"]),
    "pad": lambda p, x: torch_pad(x, p["low"], p["high"], p.get("interior", [0] * x.ndim)),
    "concat": lambda p, *xs: torch.cat(xs, dim=p["axis"]),
    "gather": lambda p, x, i: torch.index_select(x, p["axis"], i.flatten()).reshape(x.shape[: p["axis"]] + i.shape + x.shape[p["axis"] + 1 :]),
    "scatter_add": lambda p, x, i, u: torch.index_add(x, p["axis"], i.flatten(), u.reshape(x.shape[: p["axis"]] + (i.numel(),) + x.shape[p["axis"] + 1 :])),
    "one_hot": lambda p, i: F.one_hot(i, p["depth"]).double(),
    "select": lambda p, c, a, b: torch.where(c, a, b),
    "matmul": lambda p, a, b: torch.matmul(a, b),
    "softmax": lambda p, x: torch.softmax(x, dim=p["axis"]),
    "log_softmax": lambda p, x: torch.log_softmax(x, dim=p["axis"]),
    "layer_norm": lambda p, x, w, b: F.layer_norm(x, w.shape, w, b, eps=p["eps"]),
    "norm": lambda p, x: torch.linalg.vector_norm(x),
    "cross_entropy": lambda p, x, y: F.cross_entropy(x, y),
    "mse_loss": lambda p, x, y: F.mse_loss(x, y),
    "bce_with_logits": lambda p, x, y: F.binary_cross_entropy_with_logits(x, y),
    "linear": lambda p, x, w, b: F.linear(x, w, b),
}


def check_torch(case):
    to_torch = lambda a: torch.from_numpy(np.array(a))
    xs = [to_torch(x) for x in arrays(case["inputs"])]
    for x in xs:
        x.requires_grad_(x.is_floating_point())
    got = TORCH[case["op"]](case["params"], *xs)
    ys = list(got) if isinstance(got, (tuple, list)) else [got]
    where = (case["op"], case["params"])

    def agree(got, want, what):
        assert np.shape(got.detach()) == want.shape and np.allclose(got.detach(), want, rtol=1e-12, atol=1e-12, equal_nan=True), (*where, what, got, want)

    for y, want in zip(ys, arrays(case["outputs"])):
        agree(y, want, "output")
    if case["dx"] is None:
        return
    wanted = [i for i, g in enumerate(case["dx"]) if g is not None]
    d, dx, v, hvp = (arrays(case[k]) for k in ("d", "dx", "v", "hvp"))
    scalar = sum((y * to_torch(w)).sum() for y, w in zip(ys, d) if w is not None)
    gradients = torch.autograd.grad(scalar, [xs[i] for i in wanted], create_graph=True)
    for i, g in zip(wanted, gradients):
        agree(g, dx[i], "gradient")
    if hvp is None:
        return
    along = sum((g * to_torch(v[i])).sum() for i, g in zip(wanted, gradients))
    if along.requires_grad:
        seconds = torch.autograd.grad(along, [xs[i] for i in wanted], materialize_grads=True)
        for i, s in zip(wanted, seconds):
            agree(s, hvp[i], "hvp")


def check_mpmath(case):
    """Sums, means and logsumexp again, exactly."""
    (x,), (y,) = arrays(case["inputs"]), arrays(case["outputs"])
    axes = tuple(case["params"]["axes"])
    if not axes or not np.all(np.isfinite(x)) or y.size == 0:
        return
    lines = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(y.size, -1)
    for line, want in zip(lines, y.ravel()):
        line = [mpf(v) for v in line.tolist()]
        if case["op"] == "logsumexp":
            exact, size = mp.log(mp.fsum(mp.exp(v) for v in line)), 1
        else:
            exact, size = mp.fsum(line), mp.fsum(abs(v) for v in line)
            exact = exact / len(line) if case["op"] == "mean" else exact
        assert abs(exact - mpf(float(want))) <= 1e-15 * max(size, abs(exact)), (case["op"], axes, exact, want)


def check_ops():
    functions = {name: cases(np.random.default_rng(list(name.encode()))) for name, cases in TABLE.items()}
    rng = np.random.default_rng(7)
    seen = {}
    for case in load("ops.json")["cases"]:
        op, note = case["op"], case.get("note", "")
        idx = seen[op] = seen.get(op, -1) + 1
        # Differences fail at kinks and where eps = 1e-5 is the only scale; PyTorch still checks those.
        smooth = not note.startswith(("ties", "norm(0)", "no variance")) and op != "cast" and all(np.all(np.isfinite(a)) for a in arrays(case["inputs"]))
        if case["dx"] is not None and smooth:
            check_differences(functions[op][idx][1], case, rng)
        empty_axis = op in ("max", "max_with_index", "argmax") and 0 in case["inputs"][0]["shape"]
        if op in TORCH and not empty_axis:
            check_torch(case)
        if op in ("sum", "mean", "logsumexp"):
            check_mpmath(case)
    assert set(seen) == set(TABLE) and min(seen.values()) >= 7
    return sum(seen.values()) + len(seen)


def check_reductions():
    cases = load("reductions.json")["cases"]
    for case in cases:
        check_torch(case)
    return len(cases)


# --- dtypes.json -------------------------------------------------------------------------------------

JAX = {
    "neg": jnp.negative, "abs": jnp.abs, "sign": jnp.sign, "square": lambda x: x * x, "add": jnp.add, "sub": jnp.subtract, "mul": jnp.multiply,
    "maximum": jnp.maximum, "minimum": jnp.minimum, "eq": jnp.equal, "ne": jnp.not_equal, "lt": jnp.less, "le": jnp.less_equal, "gt": jnp.greater, "ge": jnp.greater_equal,
    "select": jnp.where, "and": jnp.logical_and, "or": jnp.logical_or, "not": jnp.logical_not,
}


def check_dtypes():
    """Those that JAX has in every type; whole numbers wrap there as well."""
    n = 0
    for case in load("dtypes.json")["cases"]:
        xs, (want, *_), p = arrays(case["inputs"]), arrays(case["outputs"]), case["params"]
        if case["op"] in JAX:
            got = JAX[case["op"]](*xs)
        elif case["op"] == "sum":
            got = jnp.sum(xs[0], axis=tuple(p["axes"]), dtype=xs[0].dtype)
        elif case["op"] == "max":
            got = jnp.max(xs[0], axis=tuple(p["axes"]))
        elif case["op"] == "contract":
            got = lax.dot_general(*xs, ((p["lhs_contract"], p["rhs_contract"]), ((), ())))
        elif case["op"] == "gather":
            got = jnp.take(xs[0], xs[1], axis=p["axis"])
        elif case["op"] == "scatter_add" and xs[0].dtype != bool:
            got = jnp.asarray(xs[0]).at[xs[1]].add(xs[2])
        else:
            continue
        n += 1
        assert got.dtype == want.dtype and np.allclose(got, want, rtol=1e-6 if want.dtype == np.float32 else 1e-14, atol=1e-6 if want.dtype == np.float32 else 0), (case["op"], case["dtype"], got, want)
        assert want.dtype.kind == "f" or np.array_equal(got, want), (case["op"], case["dtype"], got, want)
    return n


# --- optimizers.json -----------------------------------------------------------------------------------


def gradients(p, x, y, l1, l2):
    """The lecture's backward propagation of a two-layer MLP with softmax cross-entropy, by hand."""
    h = np.tanh(x @ p["0.weight"].T + p["0.bias"])
    logits = h @ p["2.weight"].T + p["2.bias"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -logs[range(len(y)), y].mean()
    d = (np.exp(logs) - np.eye(logs.shape[1])[y]) / len(y)
    g = {"2.weight": d.T @ h, "2.bias": d.sum(axis=0)}
    d = (d @ p["2.weight"]) * (1 - h * h)
    g |= {"0.weight": d.T @ x, "0.bias": d.sum(axis=0)}
    for k in ("0.weight", "2.weight"):
        loss += l1 * np.abs(p[k]).sum() + l2 / 2 * (p[k] ** 2).sum()
        g[k] = g[k] + l1 * np.sign(p[k]) + l2 * p[k]
    return loss, g


def update(o, lr, t, p, g, slot):
    """One parameter after step t = 1, 2, ... by PyTorch's documented equations."""
    if o["kind"] == "AdamW":
        p = p - lr * o["weight_decay"] * p
    elif o["weight_decay"]:
        g = g + o["weight_decay"] * p
    if o["kind"] == "SGD":
        if o["momentum"]:
            slot["b"] = g if t == 1 else o["momentum"] * slot["b"] + (1 - o["dampening"]) * g
            g = g + o["momentum"] * slot["b"] if o["nesterov"] else slot["b"]
        return p - lr * g
    b1, b2 = o["betas"]
    slot["m"] = b1 * slot.get("m", 0) + (1 - b1) * g
    slot["v"] = b2 * slot.get("v", 0) + (1 - b2) * g * g
    return p - lr * (slot["m"] / (1 - b1**t)) / (np.sqrt(slot["v"] / (1 - b2**t)) + o["eps"])


def rate(config, base, t):
    """The learning rate of step t = 0, 1, ... in closed form."""
    if config is None:
        return base
    if config["kind"] == "CosineAnnealingLR":
        return config["eta_min"] + (base - config["eta_min"]) * (1 + np.cos(np.pi * t / config["T_max"])) / 2
    if config["kind"] == "LinearLR":
        a, b, n = config["start_factor"], config["end_factor"], config["total_iters"]
        return base * (a + (b - a) * min(t, n) / n)
    first, second = config["schedulers"]
    m = config["milestones"][0]
    return rate(first, base, t) if t < m else rate(second, base, t - m)


def check_optimizers():
    file = load("optimizers.json")
    batches = [(untensor(b["x"]), untensor(b["y"])) for b in file["batches"]]
    for case in file["cases"]:
        p = {k: untensor(r) for k, r in file["initial"].items()}
        slots = {k: {} for k in p}
        for t, want in enumerate(case["params"]):
            loss, g = gradients(p, *batches[t % len(batches)], case["l1"], case["l2"])
            is_frozen = {k for k in g if t < (case["frozen"] or {}).get(k.split(".")[0], 0)}
            norm = np.sqrt(sum((v * v).sum() for k, v in g.items() if k not in is_frozen))
            lr = rate(case["schedule"], case["optimizer"]["lr"], t)
            if case["clip_norm"]:
                g = {k: v * min(1.0, case["clip_norm"] / (norm + 1e-6)) for k, v in g.items()}
            for k in g.keys() - is_frozen:
                # A parameter counts its own steps, from the first in which it is not frozen.
                own = t - (case["frozen"] or {}).get(k.split(".")[0], 0)
                p[k] = update(case["optimizer"], lr, own + 1, p[k], g[k], slots[k])
            got = [loss, norm, lr, *np.concatenate([p[k].ravel() for k in want])]
            expect = [case["loss"][t], case["grad_norm"][t], case["lr"][t], *np.concatenate(list(want.values()))]
            assert np.allclose(got, expect, rtol=1e-12, atol=1e-12), (case["name"], t, np.abs(np.subtract(got, expect)).max())
    return len(file["cases"])


if __name__ == "__main__":
    print("optimizers.json:", check_optimizers(), "trajectories agree")
    print("ops.json:", check_ops(), "cases agree")
    print("reductions.json:", check_reductions(), "cases agree")
    print("dtypes.json:", check_dtypes(), "cases agree")
    print("pointwise.json:", check_pointwise(), "points agree")
