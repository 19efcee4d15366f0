"""Writes every golden file. Run by hand (README.md); takes about three minutes."""

import layers
import optimizers
import ops
import philox
import pointwise

if __name__ == "__main__":
    for module in (pointwise, philox, optimizers, layers, ops):
        module.generate()
