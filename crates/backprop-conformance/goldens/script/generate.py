"""Writes every golden file. Run by hand (README.md); takes about three minutes."""

import dtypes
import layers
import optimizers
import ops
import philox
import pointwise
import reductions

if __name__ == "__main__":
    for module in (pointwise, reductions, dtypes, philox, optimizers, layers, ops):
        module.generate()
