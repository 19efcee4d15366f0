"""PyTorch: eager, or through torch.compile.

pytorch_worker.py eager|compile mlp LAYERS BATCH START.npz
pytorch_worker.py eager function NAME ELEMENTS
pytorch_worker.py eager train LAYERS BATCH MNIST_FOLDER
"""

import gzip
import sys
import time
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional as F

from worker import LR, Start, microseconds_since, say, serve

torch.set_num_threads(1)
# The first optimizer imports much of PyTorch: an import, and no part of a first step.
torch.optim.SGD([torch.zeros(1, requires_grad=True)], fused=True).zero_grad()


def network(sizes):
    layers = []
    for k in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[k], sizes[k + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Mlp:
    def __init__(self, mode, layers, batch, path):
        self.mode, self.start = mode, Start(layers, path)
        self.sizes = [int(size) for size in layers.split(",")]
        self.set_batch(int(batch))

    def set_batch(self, n):
        self.x, self.y = torch.from_numpy(self.start.x[:n]), torch.from_numpy(self.start.y[:n])

    def make(self):
        net = network(self.sizes)
        with torch.no_grad():
            for k, (weight, bias) in enumerate(self.start.parameters):
                net[2 * k].weight.copy_(torch.from_numpy(weight))
                net[2 * k].bias.copy_(torch.from_numpy(bias))
        self.loss = lambda x, y: F.cross_entropy(net(x), y)
        if self.mode == "compile":
            self.loss = torch.compile(self.loss)
        # One call for all parameters: measured faster than its default.
        self.optimizer = torch.optim.SGD(net.parameters(), lr=LR, fused=True)

    def step(self):
        self.optimizer.zero_grad()
        loss = self.loss(self.x, self.y)
        loss.backward()
        self.optimizer.step()
        self.value = loss.item()

    def loss_of_last(self):
        return self.value


class Function:
    """One function into the same output again and again."""

    def __init__(self, name, n):
        self.function = getattr(torch, name)
        self.x = torch.from_numpy(numpy.random.default_rng(1).standard_normal(int(n), dtype=numpy.float32))

    def make(self):
        self.y = torch.empty_like(self.x)

    def step(self):
        self.function(self.x, out=self.y)


def idx(folder, name):
    """The array in an IDX file, gzip or not."""
    packed = Path(folder, name + ".gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else Path(folder, name).read_bytes()
    sizes = numpy.frombuffer(data, ">u4", data[3], 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def train(layers, batch, folder):
    """Epochs without a DataLoader: the data is in memory, loss and accuracy are summed; `run N` is N epochs."""
    sizes, batch = [int(size) for size in layers.split(",")], int(batch)
    x = torch.from_numpy(idx(folder, "train-images-idx3-ubyte").reshape(-1, 784).astype("float32") / 255)
    y = torch.from_numpy(idx(folder, "train-labels-idx1-ubyte").astype("int64"))
    torch.manual_seed(0)
    net = network(sizes)
    for layer in net[::2]:
        # As ours begins.
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.001, fused=True)

    def epoch():
        order, total, right = torch.randperm(len(x)), 0.0, 0
        for at in range(0, len(x), batch):
            chosen = order[at : at + batch]
            xb, yb = x[chosen], y[chosen]
            optimizer.zero_grad()
            logits = net(xb)
            loss = F.cross_entropy(logits, yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
            right += (logits.argmax(1) == yb).sum().item()
        return total / len(x)

    n_steps = -(-len(x) // batch)
    begun = time.perf_counter_ns()
    say(version=version(), loss=epoch(), first_us=microseconds_since(begun) / n_steps)
    for line in sys.stdin:
        n = int(line.split()[1])
        begun = time.perf_counter_ns()
        for _ in range(n):
            loss = epoch()
        say(us=microseconds_since(begun) / n / n_steps, loss=loss)


def version():
    return f"PyTorch {torch.__version__.split('+')[0]}"


def main():
    mode, work, *rest = sys.argv[1:]
    if work == "train":
        return train(*rest)
    own = Mlp(mode, *rest) if work == "mlp" else Function(*rest)
    optional = [getattr(own, name, None) for name in ("set_batch", "loss_of_last")]
    serve(f"{version()} {mode}", own.make, own.step, *optional)


main()
