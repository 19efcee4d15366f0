"""pointwise.json: values, slopes and curvatures of every pointwise op, from mpmath at 60 digits."""

import math
import random

from mpmath import mp, mpf

from common import DIGITS, number, to_f32, write

INF, NAN = math.inf, math.nan
PI = lambda: mp.pi
ZERO = lambda x: mpf(0)


# --- Unary: op -> (value, slope, curvature), each written so that nothing cancels ---------------


def logistic(x):
    return 1 / (1 + mp.exp(-x))


def logistic_1(x):
    return logistic(x) * logistic(-x)


def logistic_2(x):
    return -logistic_1(x) * mp.tanh(x / 2)


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * PI())


def cumulative(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def tanh_1(x):
    return 1 / mp.cosh(x) ** 2


def gate(x):
    """gelu_tanh(x) = x·logistic(v) with v = 2·√(2/π)·(x + 0.044715·x³), as ½(1 + tanh u) = logistic(2u)."""
    c, a = 2 * mp.sqrt(2 / PI()), mpf("0.044715")
    return c * (x + a * x**3), c * (1 + 3 * a * x**2), 6 * c * a * x


def gelu_tanh(x):
    return x * logistic(gate(x)[0])


def gelu_tanh_1(x):
    v, v1, _ = gate(x)
    return logistic(v) + x * logistic_1(v) * v1


def gelu_tanh_2(x):
    v, v1, v2 = gate(x)
    return 2 * logistic_1(v) * v1 + x * (logistic_2(v) * v1**2 + logistic_1(v) * v2)


def half_even(x):
    low = mp.floor(x)
    if x - low != mpf("0.5"):
        return mp.floor(x + mpf("0.5"))
    return low if low % 2 == 0 else low + 1


UNARY = {
    "neg": (lambda x: -x, lambda x: mpf(-1), ZERO),
    "abs": (abs, mp.sign, ZERO),
    "sign": (mp.sign, ZERO, ZERO),
    "exp": (mp.exp, mp.exp, mp.exp),
    "log": (mp.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "sqrt": (mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x))),
    "sin": (mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "cos": (mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "tanh": (mp.tanh, tanh_1, lambda x: -2 * mp.tanh(x) * tanh_1(x)),
    "sigmoid": (logistic, logistic_1, logistic_2),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), logistic, logistic_1),
    "erf": (
        mp.erf,
        lambda x: 2 / mp.sqrt(PI()) * mp.exp(-x * x),
        lambda x: -4 * x / mp.sqrt(PI()) * mp.exp(-x * x),
    ),
    "erfc": (
        mp.erfc,
        lambda x: -2 / mp.sqrt(PI()) * mp.exp(-x * x),
        lambda x: 4 * x / mp.sqrt(PI()) * mp.exp(-x * x),
    ),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "expm1": (mp.expm1, mp.exp, mp.exp),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "square": (lambda x: x * x, lambda x: 2 * x, lambda x: mpf(2)),
    "floor": (mp.floor, ZERO, ZERO),
    "ceil": (mp.ceil, ZERO, ZERO),
    "round": (half_even, ZERO, ZERO),
    "relu": (lambda x: max(x, mpf(0)), lambda x: mpf(1) if x > 0 else mpf(0), ZERO),
    "gelu": (
        lambda x: x * cumulative(x),
        lambda x: cumulative(x) + x * density(x),
        lambda x: (2 - x * x) * density(x),
    ),
    "gelu_tanh": (gelu_tanh, gelu_tanh_1, gelu_tanh_2),
    "silu": (
        lambda x: x * logistic(x),
        lambda x: logistic(x) + x * logistic_1(x),
        lambda x: 2 * logistic_1(x) + x * logistic_2(x),
    ),
}

# Points where a kink or a step makes the slope a convention (README): not checked by differences.
KINKS = {
    "abs": lambda x: x == 0,
    "relu": lambda x: x == 0,
    "sign": lambda x: x == 0,
    "floor": lambda x: x == math.floor(x),
    "ceil": lambda x: x == math.floor(x),
    "round": lambda x: 2 * x == math.floor(2 * x),
}

# --- Where the points lie -----------------------------------------------------------------------

MAGNITUDES = [1e-30, 1e-12, 1e-8, 1e-5, 1e-3, 0.01, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 7, 9, 12]
EVERYWHERE = dict(both=True, limit=6.0, extra=[15.0, -15.0, 20.0, -20.0, 30.0, -30.0])
DOMAINS = {
    "exp": dict(both=True, limit=6.0, extra=[20.0, -20.0, 50.0, -50.0, 80.0, -80.0, 300.5, -300.5, 700.25, -700.25]),
    "expm1": dict(both=True, limit=6.0, extra=[20.0, -20.0, 40.0, -40.0, 80.0, -80.0, 700.25, -700.25]),
    "log": dict(both=False, limit=6.0, extra=[1e-60, 30.0, 1e3, 1e6, 1e12, 1e30, 1e60]),
    "sqrt": dict(both=False, limit=6.0, extra=[1e-60, 30.0, 1e3, 1e6, 1e12, 1e30, 1e60]),
    "log1p": dict(both=True, limit=6.0, above=-0.9995, extra=[-0.875, -0.9375, -0.9990234375, 1e3, 1e6, 1e30, 1e60]),
    "sin": dict(both=True, limit=6.0, extra=[30.0, -30.0, 100.0, 1e4, -1e5, 1e6, 1e9, -1e12, 1e15, math.pi, -math.pi / 2, 2 * math.pi]),
    "cos": dict(both=True, limit=6.0, extra=[30.0, -30.0, 100.0, 1e4, -1e5, 1e6, 1e9, -1e12, 1e15, math.pi, -math.pi / 2, 2 * math.pi]),
    "softplus": dict(both=True, limit=6.0, extra=[20.0, -20.0, 40.0, -40.0, 80.0, -80.0, 500.0, -500.0]),
    "sigmoid": dict(both=True, limit=6.0, extra=[20.0, -20.0, 40.0, -40.0, 80.0, -80.0, 500.0, -500.0]),
    "silu": dict(both=True, limit=6.0, extra=[20.0, -20.0, 40.0, -40.0, 80.0, -80.0, 500.0, -500.0]),
    "reciprocal": dict(both=True, limit=6.0, extra=[1e-60, -1e-60, 1e3, -1e6, 1e30, -1e60]),
    "square": dict(both=True, limit=6.0, extra=[0.0, 1e3, -1e6, 1e18, -1e60]),
    "neg": dict(both=True, limit=6.0, extra=[0.0, 1e30, -1e300]),
    "abs": dict(both=True, limit=6.0, extra=[0.0, 1e30, -1e300]),
    "sign": dict(both=True, limit=6.0, extra=[0.0, 1e30, -1e300]),
    "relu": dict(both=True, limit=6.0, extra=[0.0, 1e30, -1e300]),
}
STEPS = dict(both=True, limit=9.0, extra=[0.0, 4.5, -3.5, 0.49999999999999994, -2.0000000000000004, 8388607.5, -8388607.5, 1e15 + 0.5, 4503599627370497.5, -1e18])
DOMAINS |= {"floor": STEPS, "ceil": STEPS, "round": STEPS}
DOMAINS |= {op: EVERYWHERE | {"extra": EVERYWHERE["extra"] + [0.0]} for op in ("tanh", "erf", "erfc", "gelu", "gelu_tanh")}


def points(op):
    """Most x are also exact in f32, so that one list serves both types; the last 12 random ones use all 53 bits."""
    rng = random.Random(f"backprop {op}")
    domain = DOMAINS.get(op, EVERYWHERE)
    low = -domain["limit"] if domain["both"] else 0.0
    low = max(low, domain.get("above", low))
    xs = [to_f32(m) for m in MAGNITUDES]
    if domain["both"]:
        xs += [-x for x in xs]
    n_f32 = 30 if domain["both"] and "above" not in domain else 40
    xs += [to_f32(rng.uniform(low, domain["limit"])) for _ in range(n_f32)]
    xs += [rng.uniform(low, domain["limit"]) for _ in range(12)]
    xs += domain["extra"]
    xs = [x for x in xs if x > domain.get("above", -INF)]
    return sorted(set(xs))


# Where y is unambiguous, the sign of a zero included (README lists what is left out).
SPECIAL = {
    "neg": [(0.0, -0.0), (-0.0, 0.0), (INF, -INF), (-INF, INF), (NAN, NAN)],
    "abs": [(0.0, 0.0), (-0.0, 0.0), (INF, INF), (-INF, INF), (NAN, NAN)],
    "sign": [(0.0, 0.0), (INF, 1.0), (-INF, -1.0), (5e-324, 1.0), (-5e-324, -1.0), (NAN, NAN)],
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (710.0, INF), (-746.0, 0.0), (5e-324, 1.0)],
    "log": [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, NAN), (-5e-324, NAN), (NAN, NAN)],
    "sqrt": [(0.0, 0.0), (-0.0, -0.0), (1.0, 1.0), (4.0, 2.0), (INF, INF), (-INF, NAN), (-1.0, NAN), (-5e-324, NAN), (NAN, NAN)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (1e300, 1.0), (-1e300, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN), (1e300, 1.0), (-1e300, 0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (NAN, NAN), (1e300, 1e300), (-1e300, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (1e300, 1.0), (-1e300, -1.0)],
    "erfc": [(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (NAN, NAN), (1e300, 0.0), (-1e300, 2.0)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-2.0, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (NAN, NAN), (710.0, INF), (-746.0, -1.0)],
    "reciprocal": [(0.0, INF), (-0.0, -INF), (1.0, 1.0), (INF, 0.0), (-INF, -0.0), (NAN, NAN)],
    "square": [(0.0, 0.0), (-0.0, 0.0), (INF, INF), (-INF, INF), (NAN, NAN), (1e200, INF), (1e-200, 0.0)],
    "floor": [(0.0, 0.0), (-0.0, -0.0), (0.5, 0.0), (-0.5, -1.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "ceil": [(0.0, 0.0), (-0.0, -0.0), (0.5, 1.0), (-0.5, -0.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "round": [(0.0, 0.0), (-0.0, -0.0), (0.5, 0.0), (-0.5, -0.0), (1.5, 2.0), (2.5, 2.0), (-2.5, -2.0), (INF, INF), (-INF, -INF), (NAN, NAN)],
    "relu": [(0.0, 0.0), (-0.0, 0.0), (INF, INF), (-INF, 0.0), (NAN, NAN)],
    "gelu": [(0.0, 0.0), (INF, INF), (NAN, NAN)],
    "gelu_tanh": [(0.0, 0.0), (INF, INF), (NAN, NAN)],
    "silu": [(0.0, 0.0), (INF, INF), (NAN, NAN)],
}

# --- Binary: op -> (y, y1, y2, y11, y12, y22) -----------------------------------------------------


def pick(first_wins):
    def partials(a, b):
        won = first_wins(a, b)
        return [a if won else b, mpf(won), mpf(not won), mpf(0), mpf(0), mpf(0)]

    return partials


BINARY = {
    "add": lambda a, b: [a + b, mpf(1), mpf(1), mpf(0), mpf(0), mpf(0)],
    "sub": lambda a, b: [a - b, mpf(1), mpf(-1), mpf(0), mpf(0), mpf(0)],
    "mul": lambda a, b: [a * b, b, a, mpf(0), mpf(1), mpf(0)],
    "div": lambda a, b: [a / b, 1 / b, -a / b**2, mpf(0), -1 / b**2, 2 * a / b**3],
    "pow": lambda a, b: [
        a**b,
        b * a ** (b - 1),
        a**b * mp.log(a),
        b * (b - 1) * a ** (b - 2),
        a ** (b - 1) * (1 + b * mp.log(a)),
        a**b * mp.log(a) ** 2,
    ],
    "maximum": pick(lambda a, b: a > b),
    "minimum": pick(lambda a, b: a < b),
}

BINARY_SPECIAL = {
    "add": [(0.0, -0.0, 0.0), (-0.0, -0.0, -0.0), (INF, -INF, NAN), (INF, 1.0, INF), (NAN, 1.0, NAN), (1e308, 1e308, INF)],
    "sub": [(0.0, 0.0, 0.0), (-0.0, 0.0, -0.0), (INF, INF, NAN), (1.0, INF, -INF), (1.0, NAN, NAN), (-1e308, 1e308, -INF)],
    "mul": [(0.0, -3.0, -0.0), (-0.0, -3.0, 0.0), (0.0, INF, NAN), (-INF, 0.0, NAN), (INF, -2.0, -INF), (NAN, 0.0, NAN), (1e200, 1e200, INF)],
    "div": [(1.0, 0.0, INF), (1.0, -0.0, -INF), (-1.0, 0.0, -INF), (0.0, 0.0, NAN), (INF, INF, NAN), (1.0, INF, 0.0), (-1.0, INF, -0.0), (NAN, 1.0, NAN), (0.0, -2.0, -0.0)],
    "pow": [
        (0.0, 0.0, 1.0), (-0.0, 0.0, 1.0), (INF, 0.0, 1.0), (NAN, 0.0, 1.0), (1.0, NAN, 1.0), (1.0, INF, 1.0),
        (0.0, 2.0, 0.0), (0.0, 0.5, 0.0), (0.0, -1.0, INF), (-0.0, -1.0, -INF), (-0.0, 3.0, -0.0), (0.0, -2.0, INF),
        (2.0, INF, INF), (2.0, -INF, 0.0), (0.5, INF, 0.0), (0.5, -INF, INF), (INF, 2.0, INF), (INF, -1.0, 0.0),
        (-INF, 3.0, -INF), (-INF, 2.0, INF), (-1.0, INF, 1.0), (-8.0, 0.5, NAN), (-2.0, 3.0, -8.0), (-2.0, -2.0, 0.25),
        (NAN, 1.0, NAN), (2.0, NAN, NAN),
    ],
    "maximum": [(NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, NAN, NAN), (INF, 1.0, INF), (-INF, 1.0, 1.0), (INF, -INF, INF), (NAN, INF, NAN)],
    "minimum": [(NAN, 1.0, NAN), (1.0, NAN, NAN), (NAN, NAN, NAN), (INF, 1.0, 1.0), (-INF, 1.0, -INF), (INF, -INF, -INF), (NAN, -INF, NAN)],
}

TIES = {
    op: [[x, x, x, 0.5, 0.5, 0.0, 0.0, 0.0] for x in (-2.5, 1.25, 3.0, 1e-8, 1e6, -1e30)] for op in ("maximum", "minimum")
}


def pairs(op):
    rng = random.Random(f"backprop {op}")
    if op == "pow":
        bases = [1e-5, 0.01, 0.25, 0.75, 1.0, 1.5, 2.0, 10.0, 1e3]
        exponents = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]
        found = [(to_f32(a), b) for a in bases for b in exponents]
        found += [(to_f32(rng.uniform(0, 6)), to_f32(rng.uniform(-6, 6))) for _ in range(16)]
        found += [(rng.uniform(0, 6), rng.uniform(-6, 6)) for _ in range(12)]
        return found + [(1e60, 1.5), (1e-60, 1.5), (1.0000000000000002, 1e15), (0.9999999, -1e6)]
    some = [to_f32(s * m) for m in (1e-30, 1e-8, 1e-3, 0.75, 1.0, 2.5, 7.0, 1e6) for s in (1, -1)]
    found = [(a, rng.choice(some)) for a in some for _ in range(3)]
    found += [(to_f32(rng.uniform(-6, 6)), to_f32(rng.uniform(-6, 6))) for _ in range(24)]
    found += [(rng.uniform(-6, 6), rng.uniform(-6, 6)) for _ in range(12)]
    found += [(1e60, -1e30), (-1e30, 1e60), (1e-60, 1e30), (0.1, 0.2)]
    if op != "div":
        found += [(3.0, 0.0)]
    found += [(0.0, -2.5)]
    if op in ("maximum", "minimum"):
        found = [(a, b) for a, b in found if a != b]
    return sorted(set(found))


def pow_const():
    """x^n for x <= 0 and whole n, by the slope in x alone: n·xⁿ⁻¹ and n(n−1)·xⁿ⁻², a factor 0 making the term 0."""
    rows = []
    for x in (-7.25, -2.0, -1.5, -1.0, -0.5, -1e-3, to_f32(-0.3), 0.0):
        for n in (-3, -2, -1, 0, 1, 2, 3, 4, 5, 8):
            if x == 0 and n < 0:
                continue
            term = lambda c, k: mpf(0) if c == 0 else c * mpf(x) ** k
            rows.append([x, float(n), term(1, n), term(n, n - 1), term(n * (n - 1), n - 2)])
    return rows


def encode(rows):
    return [[number(v) for v in row] for row in rows]


def generate():
    mp.dps = DIGITS
    rows = {}
    for op, functions in UNARY.items():
        table = [[x] + [f(mpf(x)) for f in functions] for x in points(op)]
        assert len(table) >= 64, (op, len(table))
        rows[op] = {"arity": 1, "points": encode(table), "special": encode(SPECIAL.get(op, []))}
    for op, partials in BINARY.items():
        table = [[a, b] + partials(mpf(a), mpf(b)) for a, b in pairs(op)]
        assert len(table) >= 64, (op, len(table))
        rows[op] = {"arity": 2, "points": encode(table), "special": encode(BINARY_SPECIAL[op])}
        if op in TIES:
            rows[op]["ties"] = encode(TIES[op])
    rows["pow"]["pow_const"] = encode(pow_const())
    write("pointwise.json", {"source": f"mpmath, {DIGITS} digits"}, "ops", rows)


if __name__ == "__main__":
    generate()
