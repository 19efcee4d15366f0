"""Shared by the generators: exact rounding to f64, the JSON encoding, seeded tensors."""

import json
import math
import struct
from pathlib import Path

import mpmath
import numpy as np

OUT = Path(__file__).resolve().parent.parent
DIGITS = 60

DTYPES = {
    "float64": "f64",
    "float32": "f32",
    "int64": "i64",
    "int32": "i32",
    "uint32": "u32",
    "uint8": "u8",
    "bool": "bool",
}


def to_f64(value):
    """The f64 nearest to `value` (an mpf or a number), subnormals included."""
    if not isinstance(value, mpmath.mpf):
        return float(value)
    if not mpmath.isfinite(value):
        return float(value)
    sign, mantissa, exponent, _ = value._mpf_
    if mantissa == 0 or exponent + mantissa.bit_length() < -1200:
        return 0.0
    if exponent + mantissa.bit_length() > 1100:
        return -math.inf if sign else math.inf
    # Division of Python integers rounds correctly, once; float(mpf) rounds subnormals twice.
    mantissa = -int(mantissa) if sign else int(mantissa)
    return mantissa * 2**exponent / 1 if exponent >= 0 else mantissa / 2**-exponent


def to_f32(value):
    """The f64 that equals the f32 nearest to `value`."""
    return struct.unpack("f", struct.pack("f", value))[0]


def number(value):
    """One JSON value: bool and int as they are, a finite float by its shortest digits, else a string."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = to_f64(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def tensor(array):
    """An array as {"dtype", "shape", "data"}, row-major."""
    array = np.asarray(array)
    return {
        "dtype": DTYPES[str(array.dtype)],
        "shape": list(array.shape),
        "data": [number(v) for v in array.ravel().tolist()],
    }


def untensor(record):
    """The inverse of `tensor`."""
    names = {short: long for long, short in DTYPES.items()}
    data = [float(v) if isinstance(v, str) else v for v in record["data"]]
    return np.array(data, dtype=names[record["dtype"]]).reshape(record["shape"])


def write(name, header, key, rows):
    """Writes `header` and, under `key`, `rows` one a line, so that a change is a readable diff."""

    def dump(value):
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    head = "".join(f"{dump(k)}:{dump(v)},\n" for k, v in header.items())
    if isinstance(rows, dict):
        body = ",\n".join(f"{dump(k)}:{dump(v)}" for k, v in rows.items())
        body = "{\n" + body + "\n}"
    else:
        body = "[\n" + ",\n".join(dump(row) for row in rows) + "\n]"
    text = "{\n" + head + dump(key) + ":" + body + "\n}\n"
    json.loads(text)
    path = OUT / name
    path.write_text(text)
    print(f"{name}: {len(rows)} rows, {len(text):,} bytes")
