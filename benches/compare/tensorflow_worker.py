"""TensorFlow, graph mode: tensorflow_worker.py mlp LAYERS BATCH START.npz"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

from worker import LR, Start, serve

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


class Mlp:
    def __init__(self, layers, batch, path):
        self.start = Start(layers, path)
        self.set_batch(int(batch))

    def set_batch(self, n):
        self.x, self.y = tf.constant(self.start.x[:n]), tf.constant(self.start.y[:n])

    def make(self):
        # [in, out], as Keras keeps them.
        layers = [(tf.Variable(w.T.copy()), tf.Variable(b)) for w, b in self.start.parameters]
        flat = [variable for layer in layers for variable in layer]

        @tf.function
        def update(x, y):
            with tf.GradientTape() as tape:
                for k, (w, b) in enumerate(layers):
                    z = tf.matmul(x, w) + b
                    x = tf.nn.relu(z) if k + 1 < len(layers) else z
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))
            for variable, gradient in zip(flat, tape.gradient(loss, flat)):
                variable.assign_sub(LR * gradient)
            return loss

        self.update = update

    def step(self):
        self.value = self.update(self.x, self.y).numpy()

    def loss(self):
        return float(self.value)


work, *rest = sys.argv[1:]
own = Mlp(*rest)
serve(f"TensorFlow {tf.__version__}", own.make, own.step, own.set_batch, own.loss)
