"""random.json: known answers of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), the published ones first, and draws."""

import random

import numpy as np
from mpmath import mp, mpf

from common import DIGITS, to_f64, write

MULTIPLIERS = {32: (0xD2511F53, 0xCD9E8D57), 64: (0xD2E7470EE14C6C93, 0xCA5A826395121157)}
WEYL = {32: (0x9E3779B9, 0xBB67AE85), 64: (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)}

# Random123 1.14, tests/kat_vectors, lines "philox4x32 10": all zeros, all ones, digits of pi.
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def philox4(counter, key, bits=32, rounds=10):
    """One block: four output words from four counter words and two key words."""
    mask = (1 << bits) - 1
    (a, b, c, d), (k, l) = counter, key
    for _ in range(rounds):
        p, q = MULTIPLIERS[bits][0] * a, MULTIPLIERS[bits][1] * c
        a, b, c, d = (q >> bits) ^ b ^ k, q & mask, (p >> bits) ^ d ^ l, p & mask
        k, l = (k + WEYL[bits][0]) & mask, (l + WEYL[bits][1]) & mask
    return [a, b, c, d]


def words(text):
    return [int(word, 16) for word in text.split()]


def check_against_numpy():
    """NumPy has the 64-bit sibling: the same code with its constants must agree (it counts before it draws)."""
    for seed in range(5):
        rng = random.Random(seed)
        key, counter = [rng.getrandbits(64) for _ in range(2)], [rng.getrandbits(63) for _ in range(4)]
        drawn = np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64)).random_raw(4)
        assert drawn.tolist() == philox4([counter[0] + 1, *counter[1:]], key, bits=64)


def block(key, at):
    """Four words: the seed is the generator's key; block number (low, high), stream and step are its counter."""
    return philox4([at & 0xFFFFFFFF, at >> 32, *key[2:]], key[:2])


def wide(key, at, half):
    words = block(key, at)
    return words[2 * half] | words[2 * half + 1] << 32


def normal(key, at):
    """Box and Muller 1958, from two numbers in (0, 1]."""
    u, v = (mpf((wide(key, at, half) >> 11) + 1) / 2**53 for half in (0, 1))
    return to_f64(mp.sqrt(-2 * mp.log(u)) * mp.cos(2 * mp.pi * v))


def draws():
    """What the ops `uniform` and `normal` draw: elements 0 to 12 under some keys."""
    mp.dps = DIGITS
    rng = random.Random("backprop draws")
    keys = [[1, 2, 3, 4], [0, 0, 0, 0]] + [[rng.getrandbits(32) for _ in range(4)] for _ in range(6)]
    return [
        {
            "key": key,
            "uniform_f32": [(block(key, i // 4)[i % 4] >> 8) / 2**24 for i in range(13)],
            "uniform_f64": [(wide(key, i // 2, i % 2) >> 11) / 2**53 for i in range(13)],
            "normal": [normal(key, i) for i in range(13)],
        }
        for key in keys
    ]


def generate():
    check_against_numpy()
    rows = []
    for counter, key, out in PUBLISHED:
        assert philox4(words(counter), words(key)) == words(out), counter
        rows.append({"counter": words(counter), "key": words(key), "out": words(out), "published": True})
    rng = random.Random("backprop philox")
    small = [([i, 0, 0, 0], [0, 0]) for i in (1, 2)] + [([0, 1, 0, 0], [0, 0]), ([0, 0, 0, 1], [0, 0]), ([0] * 4, [1, 0]), ([0] * 4, [0, 1])]
    more = [([rng.getrandbits(32) for _ in range(4)], [rng.getrandbits(32) for _ in range(2)]) for _ in range(10)]
    for counter, key in small + more:
        rows.append({"counter": counter, "key": key, "out": philox4(counter, key), "published": False})
    write("random.json", {"generator": "Philox4x32-10", "draws": draws()}, "cases", rows)


if __name__ == "__main__":
    generate()
