"""What the Python workers share: the start, and steps on demand.

A worker says {"version", "first_us", "loss"} once its first step is done (first_us: from nothing but
imports and samples to there), then answers each line of standard input:

    run N      takes N steps: {"us": microseconds per step, "loss": the last loss}
    batch N    takes a first step on N samples: the same
"""

import json
import sys
import time

import numpy

LR = 0.01


class Start:
    """Samples and parameters that every worker begins with."""

    def __init__(self, layers, path):
        arrays = numpy.load(path)
        self.x, self.y = arrays["x"], arrays["y"]
        n_layers = len(layers.split(",")) - 1
        # Weight [out, in] and bias [out] of each layer, by PyTorch's names; odd layers are ReLU.
        self.parameters = [(arrays[f"{2 * k}.weight"], arrays[f"{2 * k}.bias"]) for k in range(n_layers)]


def say(**fields):
    print(json.dumps(fields), flush=True)


def microseconds_since(begun):
    return (time.perf_counter_ns() - begun) / 1e3


def serve(version, make, step, set_batch=None, loss=None):
    """make() builds; step() takes a step and waits for its loss; set_batch(n) changes the samples; loss()
    is the loss of the last step, as a float."""
    begun = time.perf_counter_ns()
    make()
    step()
    first_us = microseconds_since(begun)
    loss = loss or (lambda: None)
    say(version=version, first_us=first_us, loss=loss())
    for line in sys.stdin:
        command, n = line.split()
        n = int(n)
        if command == "batch":
            set_batch(n)
            n = 1
        begun = time.perf_counter_ns()
        for _ in range(n):
            step()
        us = microseconds_since(begun) / n
        say(us=us, loss=loss())
