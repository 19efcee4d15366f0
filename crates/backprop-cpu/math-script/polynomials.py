"""The polynomials of src/math: prints each table with its error.  Needs mpmath:  python polynomials.py

A minimax fit by Remez' exchange in 60 digits, its coefficients rounded to the format.
"""
import struct
import sys
from mpmath import mp, mpf, matrix, lu_solve, cos, pi, exp, log, sqrt, erf, erfc, sin, log1p, expm1

mp.dps = 60


def rounded(c, bits):
    if c == 0:
        return mpf(0)
    return mpf(struct.unpack("f", struct.pack("f", float(c)))[0]) if bits == 24 else mpf(float(c))


def remez(f, weight, powers, low, high):
    """Coefficients c of Σ cₖ·x^powersₖ with the least max |weight·(Σ − f)|, and that maximum."""
    n = len(powers)
    # Off the centre a little: a weight may be 0 at 0.
    points = [(low + high) / 2 - (high - low) / 2 * cos(pi * k / n + mpf(1) / 1000) for k in range(n + 1)]
    grid = [(low + high) / 2 - (high - low) / 2 * cos(pi * k / (40 * n)) for k in range(40 * n + 1)]
    grid = [x for x in grid if weight(x) != 0]
    known = [(x, f(x), weight(x)) for x in grid]
    c = None
    for _ in range(30):
        a, b = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for i, x in enumerate(points):
            for j, p in enumerate(powers):
                a[i, j] = x**p
            a[i, n] = (-1) ** i / weight(x)
            b[i] = f(x)
        solved = lu_solve(a, b)
        c, level = list(solved[:n]), abs(solved[n])
        errors = [w * (sum(c[j] * x**p for j, p in enumerate(powers)) - y) for x, y, w in known]
        # The extremum of each run of one sign.
        found, best = [], 0
        for i in range(1, len(grid)):
            if errors[i] * errors[best] < 0:
                found.append(best)
                best = i
            elif abs(errors[i]) > abs(errors[best]):
                best = i
        found.append(best)
        while len(found) > n + 1:
            found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
        largest = max(abs(e) for e in errors)
        if len(found) < n + 1 or largest < level * mpf("1.01"):
            break
        points = [grid[i] for i in found]
    return c, largest


def fit(name, f, weight, powers, low, high, bits):
    low, high = mpf(low), mpf(high)
    c, minimax = remez(f, weight, powers, low, high)
    fixed = [rounded(x, bits) for x in c]
    grid = [low + (high - low) * i / 2000 for i in range(2001)]
    largest = max(abs(weight(x) * (f(x) - sum(a * x**p for a, p in zip(fixed, powers)))) for x in grid if x != 0)
    print(f"// {name}, on [{float(low):.6g}, {float(high):.6g}]: error 2^{float(log(largest, 2)):.1f} (2^{float(log(minimax, 2)):.1f} before rounding)")
    print(f"&[{', '.join(repr(float(c)) for c in fixed)}],")
    sys.stdout.flush()


def series(f, tail, x, limit=mpf("1e-4")):
    """f, or its series where f would lose digits."""
    return tail(x) if abs(x) < limit else f(x)


def exp_tail(x):  # (eˣ − 1 − x − x²/2)/x³
    return series(lambda x: (expm1(x) - x - x**2 / 2) / x**3, lambda x: sum(x**k / mp.factorial(k + 3) for k in range(14)), x)


def exp_slope(x):  # (eˣ − 1 − x)/x²
    return series(lambda x: (expm1(x) - x) / x**2, lambda x: sum(x**k / mp.factorial(k + 2) for k in range(14)), x)


def log_tail(x):  # (ln(1+x) − x + x²/2)/x³
    return series(lambda x: (log1p(x) - x + x**2 / 2) / x**3, lambda x: sum((-x) ** k / (k + 3) for k in range(14)), x)


def atanh_tail(z):  # (atanh s/s − 1 − z/3)/z², z = s²
    return sum(z**k / (2 * k + 5) for k in range(60))


def sin_tail(z):  # (sin r − r)/r³, z = r²
    return sum((-1) ** (k + 1) * z**k / mp.factorial(2 * k + 3) for k in range(20))


def cos_tail(z):  # (cos r − 1 + z/2)/z², z = r²
    return sum((-1) ** k * z**k / mp.factorial(2 * k + 4) for k in range(20))


def erf_near(z):  # erf x/x − 1, z = x²
    return 2 / sqrt(pi) * sum((-z) ** k / mp.factorial(k) / (2 * k + 1) for k in range(60)) - 1


def sizes(f32, f64):
    return ((24, f32), (53, f64))


WHICH = sys.argv[1:]


def wanted(name):
    return not WHICH or name in WHICH


if wanted("exp"):
    half = log(2) / 2 * mpf("1.0001")
    for bits, n in sizes(5, 10):
        fit("exp", exp_tail, lambda x: x**3 / exp(x), range(n), -half, half, bits)
    # Of f64 the same, with ½ before it.
    fit("exp, all of it", exp_slope, lambda x: x**2 / exp(x), range(5), -half, half, 24)
    # Of f32 with 16 powers of 2: e^shift times each is nearly a float, by a search through all shifts of a sixteenth.
    shift, half = mpf("-0.011468532216"), half / 16
    fit("exp(x - shift) - 1", lambda x: expm1(x - shift), lambda x: exp(-x), range(4), -half, half, 24)
    powers = [rounded(mpf(2) ** (mpf(k) / 16) * exp(shift), 24) for k in range(16)]
    print(f"[{', '.join(hex(struct.unpack('I', struct.pack('f', float(x)))[0]) for x in powers)}],")
if wanted("log"):
    for bits, n in sizes(9, 20):
        fit("log", log_tail, lambda x: x**3 / log1p(x) if x else mpf(0), range(n), sqrt(mpf(0.5)) - 1.0001, sqrt(mpf(2)) - mpf("0.9999"), bits)
if wanted("atanh"):
    for bits, n in sizes(3, 8):
        fit("atanh", atanh_tail, lambda z: z**2, range(n), 0, (3 - 2 * sqrt(mpf(2))) ** 2 * mpf("1.001"), bits)
if wanted("sin"):
    for bits, n in sizes(3, 6):
        fit("sin", sin_tail, lambda z: z, range(n), 0, mpf("0.64"), bits)
if wanted("cos"):
    for bits, n in sizes(3, 6):
        fit("cos", cos_tail, lambda z: z**2, range(n), 0, mpf("0.64"), bits)
if wanted("erf"):
    for bits, n in sizes(7, 13):
        fit("erf below 1", erf_near, lambda z: mpf(1), range(n), 0, 1, bits)
    for bits, n, high in ((24, 8, mpf("4.0")), (53, 20, mpf("6.0"))):
        fit("log erfc", lambda x: log(erfc(x)), lambda x: erfc(x), range(n), 1, high, bits)
if wanted("erfc"):
    for bits, n, k, high in ((24, 11, 2, mpf(11)), (53, 23, 4, mpf(28))):
        def scaled(t, k=k):
            x = k * (1 + t) / (1 - t)
            return (1 + 2 * x) * exp(x * x) * erfc(x)
        fit(f"(1 + 2x)·exp(x²)·erfc x, t = (x − {k})/(x + {k})", scaled, lambda t: mpf(1), range(n), (mpf("0.5") - k) / (mpf("0.5") + k), (high - k) / (high + k), bits)
if wanted("constants"):
    for bits, drop in ((24, 8), (53, 11)):
        l = log(2)
        full = rounded(l, bits)
        short = mpf(int(l * 2 ** (bits - drop))) / 2 ** (bits - drop)
        print("ln 2 full", repr(float(full)), repr(float(rounded(l - full, bits))), "short", repr(float(short)), repr(float(rounded(l - short, bits))))
        print("log2 e", repr(float(rounded(1 / l, bits))), "2/pi", repr(float(rounded(2 / pi, bits))))
        a = rounded(pi / 2, bits); b = rounded(pi / 2 - a, bits); c = rounded(pi / 2 - a - b, bits)
        print("pi/2", *(repr(float(v)) for v in (a, b, c)))
        t = rounded(mpf(1) / 3, bits)
        print("1/3", repr(float(t)), repr(float(rounded(mpf(1) / 3 - t, bits))))
    mp.dps = 400
    bits = int(2 / pi * 2 ** 1280)
    print(", ".join(f"0x{bits >> (64 * (19 - i)) & (2**64 - 1):016x}" for i in range(20)))
