"""Writes goldens.txt: what NumPy prints. Run with NumPy 2.4: python goldens.py > goldens.txt"""
import sys
import numpy as np

NAMES = {"f4": "f32", "f8": "f64", "i4": "i32", "i8": "i64", "u4": "u32", "u1": "u8", "b1": "bool"}
nan, inf = np.nan, np.inf


def show(dtype, sizes, values, precision=None, scale=None):
    """One case: a line with the array, the printed lines, an empty line with a dot."""
    if scale is None:
        a = np.array(values, dtype=dtype).reshape(sizes)
        text = " ".join(repr(x) for x in a.reshape(-1).tolist())
    else:
        a = (np.arange(np.prod(sizes)) * scale).astype(dtype).reshape(sizes)
        text = f"iota {scale!r}"
    p = "-" if precision is None else precision
    print(f"# {NAMES[dtype]} {'x'.join(map(str, sizes)) or '-'} {p} : {text}")
    print(a if precision is None else np.array2string(a, precision=precision))
    print(".")


def named():
    for t in ("f4", "f8"):
        for x in (1.0, -0.0, 0.1, 1 / 3, 1e-4, 9.9e-5, 123456789.0, 1e15, 1e16, 99999999.0, 100000000.0, 1234567.0, 999999.0, 1000000.0, 1.5e300 if t == "f8" else 3e38, nan, inf, -inf):
            show(t, (), [x])
        show(t, (), [1 / 3], precision=3)
        show(t, (0,), [])
        show(t, (2, 0, 3), [])
        show(t, (3,), [1, 2, 3])
        show(t, (2, 3), [1, 2.5, -3, 0.1, 0.25, 10])
        show(t, (3,), [0.1, 1 / 3, 100])
        show(t, (3,), [0.1, 1 / 3, 101])
        show(t, (2,), [1, 1000])
        show(t, (2,), [1, 1001])
        show(t, (2,), [999999, 123456])
        show(t, (2,), [1000000, 2000000])
        show(t, (2,), [1e8, 2e8])
        show(t, (2,), [99999999, 50000000])
        show(t, (2,), [1e-4, 2e-4])
        show(t, (2,), [0.99e-4, 2e-4])
        show(t, (3,), [1e-10, 1, 1e10])
        show(t, (3,), [1e-30, 1.2345678, 1e30])
        show(t, (4,), [nan, 1, inf, -inf])
        show(t, (3,), [nan, inf, -inf])
        show(t, (2,), [nan, nan])
        show(t, (3,), [nan, 1e10, -inf])
        show(t, (3,), [nan, 0.5, 1.25])
        show(t, (3,), [0, -0.0, 1])
        show(t, (2,), [0, 0])
        show(t, (3,), [-1.5, 22.125, 333])
        show(t, (3,), [1 / 3, 2 / 3, 1.5], precision=3)
        show(t, (2,), [12345678.9, 1e-7], precision=2)
        show(t, (2,), [12.5, 13.5], precision=0)
        show(t, (4,), [0.125, 0.375, 0.5, 0.0625], precision=2)
        show(t, (2, 2, 2), [1, 2, 3, 4, 5, 6, 7, 8.5])
        show(t, (30,), None, scale=0.5)
        show(t, (3, 20), None, scale=0.125)
        show(t, (1001,), None, scale=0.25)
        show(t, (1000,), None, scale=1)
        show(t, (40, 30), None, scale=0.01)
    show("f8", (2,), [1e-300, 1e300])
    show("f8", (2,), [5e-324, 1])
    show("f4", (2,), [1e-45, 1])
    show("f4", (4,), [282358.625, 0, 0, -57160])
    show("f8", (3,), [1.123456789012, 2, 3])
    show("f8", (2,), [0.999999999, 1])
    for t in ("i4", "i8", "u4", "u1"):
        show(t, (), [7])
        show(t, (0, 3), [])
        show(t, (2, 3), [1, 20, 3, 100, 5, 6])
        show(t, (7, 3, 101), None, scale=1)
        show(t, (50,), None, scale=5)
    show("i4", (3,), [-1, 10, -100])
    show("i8", (2,), [-(2**63), 2**63 - 1])
    show("u4", (2,), [0, 2**32 - 1])
    show("b1", (), [True])
    show("b1", (), [False])
    show("b1", (2, 3), [True, False, True, False, False, True])
    show("b1", (40,), [True] * 40)
    show("i8", (2, 1, 1, 2, 1, 1, 1, 2), list(range(8)))
    show("f8", (11, 5, 7, 13), None, scale=0.5)
    show("i4", (1, 1001), None, scale=1)
    show("i4", (1001, 1), None, scale=1)


def random(count):
    rng = np.random.default_rng(1)
    for _ in range(count):
        t = str(rng.choice(["f4", "f8"]))
        n = int(rng.integers(1, 12))
        spread = rng.choice([0.3, 1, 3, 10, 30])
        x = rng.normal(size=n) * 10.0 ** rng.normal(0, spread, size=n).clip(-37, 37)
        kind = rng.integers(4)
        x = [x, np.round(x, 2), np.round(x), np.round(x * 8) / 8][kind]
        show(t, (n,), x, precision=rng.choice([None, None, 0, 1, 3, 8, 12]))


random(int(sys.argv[1])) if len(sys.argv) > 1 else named()
