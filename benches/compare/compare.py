"""Ours beside its peers: processes pinned to one core take turns; prints, or writes, docs/benchmarks.md.

    python compare.py --write ../../docs/benchmarks.md        every bar
    python compare.py --bars 1,3 --pairs 5                    a quick look, on standard output

README.md tells how peers are made ready. A peer that is not there is left out, and said so.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

from report import NAMES, Report

HERE = Path(__file__).parent

# Time that a worker runs in its turn: long beside what switching between workers costs.
TURN_US = 30_000

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    # Cold means cold: PyTorch keeps compiled code on the disk otherwise.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}

MLPS = {
    "1": ("784,512,512,10", 128),
    "2": ("784,2048,2048,10", 256),
    "3": ("64,32,10", 32),
    "4": ("64,64,64,64,64,10", 1),
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", default="1,2,3,4,5,6,7,8,9,10,11,12,15,17", help="which rows of the table")
    parser.add_argument("--pairs", type=int, default=30, help="turns of each worker")
    parser.add_argument("--core", default="0", help="the core that all run on")
    parser.add_argument("--second-core", default="1", help="the other core of bar 5")
    parser.add_argument("--peers", default="jax,tensorflow,pytorch,pytorch-compile,candle,burn")
    parser.add_argument("--ours", default=HERE / "../../target/release/backprop", help="our command")
    parser.add_argument("--venvs", default=HERE / ".venvs", type=Path, help="virtual environments by peer")
    parser.add_argument("--mnist", default=None, help="a folder with MNIST's IDX files, for bar 15")
    parser.add_argument("--write", default=None, help="the page to write")
    options = parser.parse_args()
    options.bars = options.bars.split(",")
    options.peers = options.peers.split(",")
    options.ours = str(Path(options.ours).resolve())
    return options


class Worker:
    """A process that takes steps on demand."""

    def __init__(self, name, command, core):
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["taskset", "-c", core, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | ONE_THREAD,
            cwd=HERE,
        )
        self.ready = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} gave no answer:\n{self.errors.read()[-2000:]}")
        return json.loads(line)

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self, n):
        """Microseconds of each of n steps."""
        return self.ask(f"run {n}")["us"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Compare:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.report = Report(options)

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    # Workers

    def command(self, peer, *work):
        """The command of a peer; None where it is not there."""
        options = self.options
        if peer == "ours":
            return [options.ours, "bench", *work, "--serve"]
        if peer in ("candle", "burn"):
            found = HERE / peer / "target/release" / f"compare-{peer}"
            return [found, *work] if found.exists() else None
        base, _, mode = peer.partition("-")
        python = options.venvs / base / "bin/python"
        own = [mode or "eager"] if base == "pytorch" else []
        return [python, f"{base}_worker.py", *own, *work] if python.exists() else None

    @contextlib.contextmanager
    def workers(self, commands, cores=None):
        """Starts those whose command is known."""
        started = []
        try:
            for name, command in commands.items():
                if command is None:
                    self.report.missing.add(name)
                    continue
                try:
                    worker = Worker(name, command, cores or self.options.core)
                except RuntimeError as error:
                    if name == "ours":
                        raise
                    # A long measurement does not end because one peer is broken.
                    self.say(f"  {error}")
                    self.report.missing.add(name)
                    continue
                if name in NAMES:
                    self.report.versions[name] = worker.ready["version"]
                started.append(worker)
            yield started
        finally:
            for worker in started:
                worker.close()

    def take_turns(self, workers, n_pairs, each_turn=lambda: None, steps=None):
        """Microseconds of a step by worker, one sample each turn."""
        counts = {}
        for worker in workers:
            if steps is None:
                worker.run(3)
            counts[worker.name] = steps or max(1, round(TURN_US / worker.run(3)))
        samples = {worker.name: [] for worker in workers}
        for turn in range(n_pairs):
            each_turn()
            # Who comes first changes: nobody always follows the same neighbour.
            for worker in workers[turn % len(workers) :] + workers[: turn % len(workers)]:
                n = counts[worker.name]
                if steps is None:
                    worker.run(max(1, n // 20))
                samples[worker.name].append(worker.run(n))
        return samples

    # Networks

    def start(self, layers, batch):
        """Samples and He-uniform parameters that all begin with, as a file."""
        path = self.folder / f"start-{layers}-{batch}.npz"
        if not path.exists():
            sizes = [int(size) for size in layers.split(",")]
            draw = numpy.random.default_rng(0)
            arrays = {
                "x": draw.standard_normal((2 * batch, sizes[0]), dtype=numpy.float32),
                "y": draw.integers(0, sizes[-1], 2 * batch),
            }
            for k, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
                bound = (6 / n_in) ** 0.5
                arrays[f"{2 * k}.weight"] = draw.uniform(-bound, bound, (n_out, n_in)).astype(numpy.float32)
                arrays[f"{2 * k}.bias"] = numpy.zeros(n_out, numpy.float32)
            numpy.savez(path, **arrays)
        return path

    def mlp_commands(self, layers, batch, peers, engine="graph"):
        start = self.start(layers, batch)
        ours = ("mlp", "--layers", layers, "--batch", batch, "--engine", engine, "--start", start)
        commands = {"ours": self.command("ours", *ours)}
        return commands | {peer: self.command(peer, "mlp", layers, batch, start) for peer in peers}

    def same_losses(self, workers):
        """All compute the same: the losses of the first five steps agree within 1e-4."""
        losses = {own.name: [own.ready["loss"]] + [own.ask("run 1")["loss"] for _ in range(4)] for own in workers}
        for name, own in losses.items():
            far = max(abs(a - b) / max(abs(b), 1e-3) for a, b in zip(own, losses["ours"]))
            if far > 1e-4:
                raise RuntimeError(f"{name} computes something else: losses {own}, ours {losses['ours']}")
        self.say(f"  losses agree: {losses['ours']}")

    def mlp(self, bar):
        layers, batch = MLPS[bar]
        self.say(f"bar {bar}: mlp {layers}, batch {batch}")
        with self.workers(self.mlp_commands(layers, batch, self.options.peers)) as workers:
            self.same_losses(workers)
            peaks = []
            measure_peak = lambda: peaks.append(workers[0].ask("peak 1")["gflops"])
            samples = self.take_turns(workers, self.options.pairs, measure_peak)
        sizes = [int(size) for size in layers.split(",")]
        products = [a * b for a, b in zip(sizes, sizes[1:])]
        flops = 2 * batch * (2 * products[0] + 3 * sum(products[1:]))
        peak = max((peak for peak in peaks if peak is not None), default=None)
        self.report.networks(bar, f"MLP {layers.replace(',', '-')}, batch {batch}, SGD", samples, flops, peak)

    def threads(self):
        """One thread and two, beside multiply-adds on one and two."""
        for bar in ("1", "2"):
            layers, batch = MLPS[bar]
            self.say(f"bar 5: the network of bar {bar} on two threads")
            ours = self.mlp_commands(layers, batch, [])["ours"]
            commands = {name: [*ours, "--threads", n] for name, n in (("one", 1), ("two", 2))}
            peaks = {"one": [], "two": []}
            with self.workers(commands, f"{self.options.core},{self.options.second_core}") as workers:

                def measure_peaks():
                    for worker in workers:
                        peaks[worker.name].append(worker.ask("peak 1")["gflops"])

                samples = self.take_turns(workers, self.options.pairs, measure_peaks)
            self.report.threads(bar, samples, peaks)

    def eager(self):
        layers, batch = MLPS["1"]
        self.say("bar 17: the network of bar 1, eager")
        with self.workers(self.mlp_commands(layers, batch, ["pytorch"], "eager")) as workers:
            self.same_losses(workers)
            samples = self.take_turns(workers, self.options.pairs)
        self.report.eager(samples)

    def compiling(self):
        """The first step and that of a new batch size, each time in a process that begins with nothing."""
        layers, batch = MLPS["1"]
        self.say("bars 10 and 11: cold processes")
        first, new = {}, {}
        for name, command in self.mlp_commands(layers, batch, self.options.peers).items():
            # A peer that takes seconds is not measured for an hour.
            n_cold = self.options.pairs if name == "ours" else min(3, self.options.pairs)
            for _ in range(n_cold):
                with self.workers({name: command}) as workers:
                    if not workers:
                        break
                    own = workers[0]
                    own.run(3)
                    first.setdefault(name, []).append(own.ready["first_us"] - own.run(10))
                    began = own.ask("batch 96")["us"]
                    own.run(3)
                    new.setdefault(name, []).append(began - own.run(10))
        self.report.compiling(first, new)

    def training(self):
        for batch in (32, 128):
            self.say(f"bar 15: train on MNIST, batch {batch}")
            work = ("train", "--layers", "784,128,10", "--batch", batch, "--optimizer", "adamw")
            commands = {
                "ours": self.command("ours", *work, "--data", self.options.mnist),
                "pytorch": self.command("pytorch", "train", "784,128,10", batch, self.options.mnist),
            }
            with self.workers(commands) as workers:
                first = [worker.ready["loss"] for worker in workers]
                if max(first) > 1.05 * min(first):
                    raise RuntimeError(f"the first epochs learn differently: losses {first}")
                samples = self.take_turns(workers, self.options.pairs, steps=1)
            self.report.training(batch, samples)

    # One operation, or one pass over memory

    def functions(self):
        for name in ("exp", "log", "tanh", "sigmoid"):
            self.say(f"bar 8: {name}")
            commands = {
                "ours": self.command("ours", "function", name, "--elements", 16384),
                "pytorch": self.command("pytorch", "function", name, 16384),
            }
            with self.workers(commands) as workers:
                samples = self.take_turns(workers, self.options.pairs)
            self.report.function(name, samples)

    def alone(self, *work):
        """The object of `backprop bench`, which takes turns with its yardstick itself."""
        command = ["taskset", "-c", self.options.core, self.options.ours, "bench", *map(str, work), "--json"]
        self.say(f"  {' '.join(command[3:])}")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def memory(self, bar, *work):
        self.say(f"bar {bar}: {work[0]}")
        self.report.memory(bar, self.alone(*work, "--rounds", self.options.pairs))

    def run(self):
        for bar in self.options.bars:
            if bar in MLPS:
                self.mlp(bar)
        if "5" in self.options.bars:
            self.threads()
        for bar, work in (("6", "pointwise"), ("7", "cross-entropy"), ("9", "adam")):
            if bar in self.options.bars:
                self.memory(bar, work)
        if "8" in self.options.bars:
            self.functions()
        if {"10", "11"} & set(self.options.bars):
            self.compiling()
        if "12" in self.options.bars:
            self.say("bar 12: chain")
            self.report.chain(self.alone("chain", 1_000_000))
        if "15" in self.options.bars:
            if self.options.mnist:
                self.training()
            else:
                self.say("bar 15 is left out: it wants --mnist FOLDER")
        if "17" in self.options.bars:
            self.eager()


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        compare = Compare(options, Path(folder))
        compare.run()
    page = compare.report.page()
    if options.write:
        Path(options.write).write_text(page)
    else:
        print(page)


main()
