"""JAX, jitted, parameters donated: jax_worker.py mlp LAYERS BATCH START.npz"""

import sys

import jax
import jax.numpy as jnp

from worker import LR, Start, serve


def loss(parameters, x, y):
    for k, (w, b) in enumerate(parameters):
        z = x @ w + b
        x = jax.nn.relu(z) if k + 1 < len(parameters) else z
    return -(jax.nn.one_hot(y, z.shape[1]) * jax.nn.log_softmax(z)).sum(1).mean()


def updated(parameters, x, y):
    value, gradients = jax.value_and_grad(loss)(parameters, x, y)
    return value, jax.tree.map(lambda p, g: p - LR * g, parameters, gradients)


class Mlp:
    def __init__(self, layers, batch, path):
        self.start = Start(layers, path)
        self.set_batch(int(batch))

    def set_batch(self, n):
        self.x, self.y = jnp.asarray(self.start.x[:n]), jnp.asarray(self.start.y[:n].astype("int32"))

    def make(self):
        self.update = jax.jit(updated, donate_argnums=0)
        # [in, out], as JAX's own libraries keep them.
        self.parameters = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in self.start.parameters]

    def step(self):
        value, self.parameters = self.update(self.parameters, self.x, self.y)
        # Waits for the number, and makes no Python float of it.
        self.value = value.block_until_ready()

    def loss(self):
        return float(self.value)


work, *rest = sys.argv[1:]
own = Mlp(*rest)
serve(f"JAX {jax.__version__}", own.make, own.step, own.set_batch, own.loss)
