"""The page of results: ratios first, medians with the range from the tenth to the ninetieth percentile."""

import platform
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy

# What was tried where a bar is short, and how the bars are held that are no timings.
TRIED = Path(__file__).parent / "tried.md"

NAMES = {"ours": "backprop", "pytorch": "PyTorch eager", "pytorch-compile": "torch.compile", "jax": "JAX"}
NAMES |= {"tensorflow": "TensorFlow", "candle": "candle", "burn": "burn"}


@dataclass
class Spread:
    p10: float
    median: float
    p90: float

    @staticmethod
    def of(samples):
        return Spread(*numpy.percentile(samples, [10, 50, 90]))

    def text(self, digits=2):
        return f"{self.median:.{digits}f} ({self.p10:.{digits}f}–{self.p90:.{digits}f})"


def time(us):
    for unit, factor in (("µs", 1), ("ms", 1e3), ("s", 1e6)):
        if abs(us) < 1e3 * factor:
            break
    return f"{us / factor:.3g} {unit}"


def times(samples):
    spread = Spread.of(samples)
    return f"{time(spread.median)} ({time(spread.p10)}–{time(spread.p90)})"


@dataclass
class Row:
    """A row of the table of bars."""

    bar: str
    work: str
    wanted: str
    measured: str
    # None: it could not be measured.
    is_met: bool | None


class Report:
    def __init__(self, options):
        self.options = options
        self.versions, self.missing = {}, set()
        self.rows, self.sections = [], []

    def row(self, bar, work, wanted, measured, is_met):
        self.rows.append(Row(bar, work, wanted, measured, is_met))

    def section(self, title, header, rows, note=""):
        lines = [f"## {title}", ""]
        lines += ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        self.sections.append("\n".join(lines + ["", note] if note else lines))

    def sorted_sections(self):
        """By their first bar; what was measured later stands later."""
        return sorted(self.sections, key=lambda text: int(text.split()[1].strip(".,")))

    # Each takes samples in microseconds of a step, by worker, turn by turn.

    @staticmethod
    def slower(samples, peer):
        """How many times longer the peer takes, turn by turn."""
        return Spread.of(numpy.array(samples[peer]) / numpy.array(samples["ours"]))

    def networks(self, bar, work, samples, flops, peak):
        medians = {name: Spread.of(own).median for name, own in samples.items()}
        rows = []
        for name in sorted(samples, key=medians.get):
            part = f"{flops / medians[name] / 1e3 / peak:.3f}" if peak else "–"
            ratio = "1" if name == "ours" else self.slower(samples, name).text()
            rows.append([NAMES[name], ratio, part, f"{flops / medians[name] / 1e3:.1f}", times(samples[name])])
        note = f"FMA peak in the same turns: {peak:.1f} GFLOP/s." if peak else "No FMA peak is known for this CPU."
        header = ["", "× our time", "of FMA peak", "GFLOP/s", "step"]
        self.section(f"{bar}. {work}", header, rows, note)

        part = flops / medians["ours"] / 1e3 / peak if peak else 0.0
        against, factor, least = {
            "1": ("jax", 1.2, 0.90),
            "2": ("tensorflow", 1.05, 0.86),
            "3": ("jax", 15, 0),
            "4": ("jax", 20, 0),
        }[bar]
        wanted = f"≥ {factor} × {NAMES[against]}'s speed"
        if least:
            wanted = f"≥ {least:.0%} of FMA peak, {wanted}"
        if against not in samples:
            return self.row(bar, work, wanted, f"{part:.1%} of peak; {NAMES[against]} is not there", None)
        speed = self.slower(samples, against)
        fastest = flops / min(samples["ours"]) / 1e3 / peak if peak else 0.0
        of_peak = f"{part:.1%} of peak (fastest turn {fastest:.1%})"
        measured = f"{of_peak}, {speed.text()} ×" if least else f"{speed.text()} ×"
        self.row(bar, work, wanted, measured, part >= least and speed.median >= factor)

    def threads(self, bar, samples, peaks):
        one, two = (numpy.array(samples[name]) for name in ("one", "two"))
        work, wanted = f"the network of bar {bar} on 2 threads", "≥ 0.93 × the speed-up of two FMA loops"
        header, rows = ["threads", "step"], [["1", times(one)], ["2", times(two)]]
        if None in peaks["one"]:
            self.section(f"5. {work}", header, rows, "No FMA peak is known for this CPU.")
            return self.row("5", work, wanted, f"{Spread.of(one / two).text()} × one thread", None)
        loops = numpy.array(peaks["two"]) / numpy.array(peaks["one"])
        part = Spread.of(one / two / loops)
        self.row("5", work, wanted, f"{part.text()} ×", part.median >= 0.93)
        note = f"Speed-up {Spread.of(one / two).text()}; of two FMA loops {Spread.of(loops).text()}."
        self.section(f"5. {work}", header, rows, note)

    def eager(self, samples):
        work = "MLP of bar 1, eager, on the tape"
        wanted = "≤ 0.6 × PyTorch's eager step"
        if "pytorch" not in samples:
            return self.row("17", work, wanted, "PyTorch is not there", None)
        ratio = Spread.of(numpy.array(samples["ours"]) / numpy.array(samples["pytorch"]))
        self.row("17", work, wanted, f"{ratio.text()} ×", ratio.median <= 0.6)
        rows = [[NAMES[name], times(own)] for name, own in samples.items()]
        self.section(f"17. {work}", ["", "step"], rows)

    def compiling(self, first, new):
        rows = [[NAMES[name], times(own), times(new[name]), str(len(own))] for name, own in first.items()]
        self.section(
            "10, 11. The network of bar 1: first step, and first step of batch 96",
            ["", "first step", "new batch size", "processes"],
            rows,
            "From nothing but imports and samples to the step done, less one warm step; cold processes, no cache on disk.",
        )
        for bar, work, samples, least in (
            ("10", "the step of bar 1: graph built → first step done", first, 5),
            ("11", "a new batch size on it", new, 3),
        ):
            spread = Spread.of(numpy.array(samples["ours"]) / 1e3)
            self.row(bar, work, f"≤ {least} ms", f"{spread.text()} ms", spread.median <= least)

    def training(self, batch, samples):
        work, least = f"train on MNIST, 784-128-10, batch {batch}", {32: 3, 128: 2}[batch]
        wanted = f"≥ {least} × PyTorch eager"
        if "pytorch" not in samples:
            return self.row("15", work, wanted, "PyTorch is not there", None)
        speed = self.slower(samples, "pytorch")
        self.row("15", work, wanted, f"{speed.text()} ×", speed.median >= least)
        rows = [[NAMES[name], times(own), f"{batch / Spread.of(own).median * 1e6:,.0f}"] for name, own in samples.items()]
        self.section(f"15. {work}, AdamW", ["", "step", "samples a second"], rows)

    def function(self, name, samples):
        work, wanted = f"{name} over 16,384 elements", "≥ 1.5 × PyTorch's throughput"
        if "pytorch" not in samples:
            return self.row("8", work, wanted, "PyTorch is not there", None)
        speed = self.slower(samples, "pytorch")
        self.row("8", work, wanted, f"{speed.text()} ×", speed.median >= 1.5)
        rows = [[NAMES[own], f"{16.384 / Spread.of(us).median:.2f}", times(us)] for own, us in samples.items()]
        self.section(f"8. {work}", ["", "elements per ns", "call"], rows)

    def memory(self, bar, result):
        work, most = {
            "6": ("20 operations fused over 10^7 elements", 1.15),
            "7": ("softmax cross-entropy with gradient, 16384×1000", 1.3),
            "9": ("Adam update, 10^7 parameters", 1.15),
        }[bar]
        ratio = Spread(result["ratio_p10"], result["ratio"], result["ratio_p90"])
        self.row(bar, work, f"≤ {most} × {result['compared_to']}", f"{ratio.text()} ×", ratio.median <= most)
        own = f"{time(result['median_us'])} ({time(result['p10_us'])}–{time(result['p90_us'])})"
        rows = [["backprop", own], [result["compared_to"], time(result["floor_us"])]]
        self.section(f"{bar}. {work}", ["", "time"], rows)

    def chain(self, result):
        work = "10^6-node random scalar DAG: build, grad, compile, first run"
        wanted = "linear, ≤ 5 s, ≤ 1 kB of peak memory per node"
        seconds, memory = result["total_ms"] / 1e3, result["bytes_per_node"]
        measured = f"{result['of_linear']:.2f} of linear, {seconds:.2f} s, {memory:.0f} B"
        is_met = result["of_linear"] <= 1.5 and seconds <= 5 and memory <= 1024
        self.row("12", work, wanted, measured, is_met)
        phases = [[name, time(result[f"{name}_ms"] * 1e3)] for name in ("build", "grad", "compile", "run")]
        note = "Of linear: time per node over that of a graph with a tenth of the nodes."
        self.section(f"12. {work}", ["", "time"], phases, note)

    def page(self):
        options = self.options
        table = ["| # | work | bar | measured: median (10–90 %) | |", "|---|---|---|---|---|"]
        for row in sorted(self.rows, key=lambda row: int(row.bar)):
            verdict = "–" if row.is_met is None else "met" if row.is_met else "**short**"
            table.append(f"| {row.bar} | {row.work} | {row.wanted} | {row.measured} | {verdict} |")
        versions = ", ".join(self.versions[name] for name in sorted(self.versions))
        missing = ", ".join(NAMES[name] for name in sorted(self.missing))
        head = f"""# Speed, measured

Written by `benches/compare/compare.py`. Ratios are taken turn by turn between processes pinned to one core, {options.pairs}
turns each, one thread, f32; the range in brackets is from the tenth to the ninetieth percentile. Every step reads its
loss, and ours are transactions. Absolute times hold for this machine and hour.

- Machine: {machine()}
- Date: {date.today()}
- Versions: {versions}{f"; not there: {missing}" if missing else ""}
- Command: `python compare.py --pairs {options.pairs} --bars {",".join(options.bars)}`

"""
        parts = ["\n".join(table), *self.sorted_sections(), TRIED.read_text().rstrip()]
        return head + "\n\n".join(parts) + "\n"


def machine():
    """Model, cores and caches, where Linux tells them."""
    try:
        lines = subprocess.run(["lscpu"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    get = lambda key: told.get(key, "?").strip()
    widest = "AVX-512" if "avx512f" in get("Flags") else "AVX2" if "avx2" in get("Flags") else "no AVX2"
    caches = ", ".join(f"{name.split()[0]} {get(name)}" for name in ("L1d cache", "L2 cache", "L3 cache"))
    family = f"family {get('CPU family')}, model {get('Model')}"
    return f"{get('Model name')} ({family}), {get('CPU(s)')} cores, {widest}; {caches}; {platform.system()}"
