"""Values of the functions to twice f64's digits:  python goldens.py 40 > ../tests/math_f64.txt  (mpmath).

A line: name, a, b (0 for functions of one operand), the value rounded, the rest in ULP of it: f64s as
hexadecimal bits.
"""
import math
import random
import struct
import sys
from mpmath import mp, mpf, erf, erfc, exp, expm1, log, log1p, sin, cos, tanh, power

mp.dps = 1300  # sin of 1e308 needs as many


def bits(x):
    return f"{struct.unpack('<Q', struct.pack('<d', float(x)))[0]:016x}"


def from_bits(n):
    return struct.unpack("<d", struct.pack("<Q", n))[0]


def nearest(v):
    """v rounded to f64, subnormals too: float() of mpmath does it twice there."""
    f = float(v)
    if abs(v) < mpf(2) ** -1022:
        f = float(int(mp.nint(v * mpf(2) ** 1074))) * 2.0**-1074
    return f


def at(digits, f):
    def value(x):
        with mp.workdps(digits):
            return f(mpf(x))
    return value


random.seed(1)
wide = lambda low, high: random.choice((-1, 1)) * 10 ** random.uniform(low, high)
uniform = random.uniform
FUNCTIONS = {
    "exp": (at(60, exp), lambda: random.choice((uniform(-745, 709.7), wide(-20, 1), uniform(-1, 1)))),
    "log": (at(60, log), lambda: random.choice((from_bits(random.randrange(1, 0x7FF << 52)), uniform(0.5, 2), 1 + wide(-16, -1)))),
    "sin": (sin, lambda: random.choice((uniform(-7, 7), wide(-10, 9), wide(0, 300), random.randrange(1, 10**6) * 1.5707963267948966))),
    "cos": (cos, lambda: random.choice((uniform(-7, 7), wide(-10, 9), wide(0, 300), random.randrange(1, 10**6) * 1.5707963267948966))),
    "tanh": (at(400, tanh), lambda: random.choice((uniform(-2, 2), uniform(-20, 20), wide(-20, 1)))),
    "sigmoid": (at(400, lambda x: 1 / (1 + exp(-x))), lambda: random.choice((uniform(-745, 40), uniform(-5, 5), wide(-10, 1)))),
    "softplus": (at(400, lambda x: log1p(exp(x))), lambda: random.choice((uniform(-745, 40), uniform(-5, 5), wide(-10, 1)))),
    "erf": (at(400, erf), lambda: random.choice((uniform(-1.5, 1.5), uniform(-6, 6), wide(-20, 0)))),
    "erfc": (at(400, erfc), lambda: random.choice((uniform(-6, 27.2), uniform(-1, 2), wide(-20, 0)))),
    "log1p": (at(400, log1p), lambda: random.choice((uniform(-0.9999, 3), wide(-20, -0.1), 10 ** uniform(-1, 300)))),
    "expm1": (at(400, expm1), lambda: random.choice((uniform(-2, 2), uniform(-40, 709), wide(-20, 0)))),
}
# Where dense samples found the largest errors.
WORST = {
    "exp": [3.1573022850006333e2],
    "tanh": [1.8234554025332436e-1],
    "sigmoid": [-3.80886291530605e2],
    "erf": [1.066858356422896],
    "erfc": [5.041043130571541e-1, 5.000566171299456e-1],
    "expm1": [3.5283087968280846e-1, 3.567114469142643e-1],
}
count = int(sys.argv[1])
names = sys.argv[2:] or [*FUNCTIONS, "pow"]
for name in names:
    for at_worst in [None] * count + WORST.get(name, []):
        b = 0.0
        if name == "pow":
            a = random.choice((from_bits(random.randrange(1, 0x7FF << 52)), uniform(0.5, 2), 1 + wide(-16, -1)))
            with mp.workdps(60):
                reach = min(744.0 / abs(float(log(mpf(a)))), 1e300) if a != 1 else 1.0
                b = random.choice((uniform(-reach, 0.95 * reach), uniform(-3, 3), float(random.randrange(-9, 9))))
                value = power(mpf(a), mpf(b))
        else:
            f, draw = FUNCTIONS[name]
            a = at_worst or draw()
            value = f(a)
        if abs(value) >= mpf(2) ** 1024:
            continue
        high = nearest(value)
        ulp = mpf(2) ** (max(math.frexp(high)[1] - 1, -1022) - 52)
        print(name, bits(a), bits(b), bits(high), bits((value - mpf(high)) / ulp))
