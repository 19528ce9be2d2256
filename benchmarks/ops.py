"""Every layer of the seven networks, forward and gradients, beside PyTorch and beside what the machine could do.

    python benchmarks/ops.py --threads 1 2 --json ops.json          # all layers: about an hour
    python benchmarks/ops.py --only conv2d --group 3x3 --quick      # a few layers of each group, few rounds

Both libraries are called as their users call them: forward without recording; then the gradients of all inputs and
weights, by the functions that the tape has recorded (PyTorch's ``grad_fn``), without the tape's own cost. Where
several threads are timed, both sides alike first run untimed for some milliseconds, and a turn is some milliseconds of
calls: so it is in a network, where layers follow each other and threads are awake. The results are compared too. A
ratio is PyTorch's median time / ours: above 1 we are faster. The roofline is the time that the
layer's multiplications would take at the speed of the FMA units, or its bytes (each array touched as often as the
definition demands) at the speed of a copy between arrays as large, whichever is longer. An algorithm that needs fewer
multiplications than the definition can beat it, and one that mostly reads, for a copy writes half of its bytes.
Needs `pip install torch==2.13.0`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import groupby
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import minicnn
from layers import REQUIRED, Layer, layers
from measure import alternate, clock, cpu, peak_memory, rates
from ours import Ours, arrays, normal, targets

LEAST_NS = 200_000  # a shorter call is repeated, so that the clock's own cost does not count
LEAST_ROUNDS, MOST_ROUNDS = 7, 60
SPIN_SECONDS = 0.01  # PyTorch's threads wait so long for more work, on the core that ours would run on
# Of several threads: so long untimed, then timed, but so many calls at most. Threads that slept are late, and the core
# that they wake is slow at first: in single calls a softmax took us 0.25 ms, PyTorch 0.12; in such turns 0.13 and 0.11.
WARM_SECONDS, WARM_NS, WARM_CALLS = 0.01, 3_000_000, 50
PYTHON_NS = 30_000  # what takes PyTorch less measures Python's calls, not kernels: not counted in the summary


def sweeps(layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how often the definition touches what is as large as (all inputs, the output): forward, gradients."""
    if layer.op == "batch_norm2d":  # the statistics first, then x again; two sums over x and grad_out, then both again
        residual = len(layer.shapes) - 3
        return (0, 3 + residual), (0, 5 + residual)
    if layer.op in ("avg_pool2d", "adaptive_avg_pool2d", "add", "concat"):  # the gradient needs no values
        return (1, 1), (1, 1)
    if layer.op == "max_pool2d":  # it needs the places of the maxima
        return (1, 1), (1, 2)
    return (1, 1), (2, 1)  # read x and weight, write out; read x, weight, grad_out, write the gradients of x and weight


def batch_norm2d(
    x: Any, weight: Any, bias: Any, residual: Any = None, *, activation: str | None = None
) -> torch.Tensor:
    out = torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True)
    if residual is not None:
        out += residual
    if activation == "relu":
        return torch.relu_(out)
    return torch.nn.functional.relu6(out, inplace=True) if activation else out


# PyTorch's functions where they are not those of ``torch.nn.functional`` by our names.
THEIRS: dict[str, Callable[..., Any]] = {
    "depthwise_conv2d": lambda x, w, **options: torch.nn.functional.conv2d(x, w, groups=len(w), **options),
    "batch_norm2d": batch_norm2d,
    "add": torch.add,
    "concat": lambda *xs, dim: torch.cat(xs, dim),
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(x * (2 / 3)),
}


class Theirs:
    """The layer in PyTorch, as in ours.py."""

    def __init__(self, layer: Layer, dtype: Any = np.float32) -> None:
        function = THEIRS.get(layer.op) or getattr(torch.nn.functional, layer.op)
        self.inputs = [torch.tensor(array, requires_grad=True) for array in arrays(layer, dtype)]
        options = layer.options | {name: torch.from_numpy(value) for name, value in targets(layer).items()}
        self.record = partial(function, *self.inputs, **options)
        self.forks = layer.op == "local_response_norm"  # made of many ops, that meet again: a case for autograd itself
        self.grad_out = torch.from_numpy(normal(99, tuple(self.forward().shape), dtype))

    @torch.no_grad()
    def forward(self) -> torch.Tensor:
        return self.record()

    @torch.no_grad()
    def gradients(self, out: torch.Tensor) -> list[Any]:
        if self.forks:
            return list(torch.autograd.grad(out, self.inputs, self.grad_out, retain_graph=True))
        found, flows = {}, [(out.grad_fn, self.grad_out)]
        for node, flow in flows:
            arrived = node(flow)
            arrived = arrived if isinstance(arrived, tuple) else (arrived,)
            for (earlier, _), gradient in zip(node.next_functions, arrived, strict=True):
                if hasattr(earlier, "variable"):
                    shape = earlier.variable.shape  # a bias gets a row for each image: adding them is left to us
                    found[id(earlier.variable)] = gradient if gradient.shape == shape else gradient.sum_to_size(shape)
                elif earlier is not None:
                    flows.append((earlier, gradient))
        return [found[id(tensor)] for tensor in self.inputs]


def compare(layer: Layer, ours: Any, theirs: Any) -> None:
    """A benchmark of something else would be worth nothing."""
    for mine, other in zip(ours, theirs, strict=True):
        a, b = np.asarray(mine), other.detach().numpy()
        if a.shape != b.shape or not np.abs(a - b).max(initial=0) <= 1e-3 * np.abs(b).max(initial=0):
            raise ArithmeticError(f"{layer}: the results of minicnn and PyTorch differ: {a.shape} {b.shape}")


# ------------------------------------------------------------------------------------------------ measuring


def preparing(side: Ours | Theirs, direction: str, count: int, threads: int) -> Callable[[], Callable[[], None]]:
    """Return what ``alternate`` asks for: a function that makes ready what is then timed, ``count`` calls."""

    def prepare() -> Callable[[], None]:
        if threads > 1:
            time.sleep(SPIN_SECONDS)
        warm = time.perf_counter() + (WARM_SECONDS if threads > 1 else 0)
        side.forward()  # caches hold, and threads do, what they would in this library's own program
        while time.perf_counter() < warm:
            side.forward()
        calls: list[Callable[[], Any]] = [side.forward] * count
        if direction == "gradients":
            calls = [partial(side.gradients, side.record()) for _ in range(count)]

        def run() -> None:
            for call in calls:
                call()

        return run

    return prepare


def measure(layer: Layer, threads: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield a row for the forward pass and one for the gradients, about ``seconds`` of measuring each."""
    minicnn.set_num_threads(threads)
    torch.set_num_threads(threads)
    now, unit = clock(threads)
    ours, theirs = Ours(layer), Theirs(layer)
    out = ours.forward()
    compare(layer, [out], [theirs.forward()])
    compare(layer, ours.gradients(ours.record()), theirs.gradients(theirs.record()))

    flops = 2.0 * out.size * prod(layer.shapes[1][1:]) if layer.weighted else 0.0
    sizes = sum(tensor.array.nbytes for tensor in ours.inputs), out.array.nbytes
    for i, direction in enumerate(("forward", "gradients")):

        def turns(count: int, direction: str = direction) -> dict[str, Callable[[], Callable[[], None]]]:
            return {name: preparing(side, direction, count, threads) for name, side in (("o", ours), ("t", theirs))}

        start = time.perf_counter_ns()
        once = min(taken[0] for taken in alternate(turns(1), 1, time.perf_counter_ns).values())
        count = max(1, LEAST_NS // once if threads == 1 else min(WARM_NS // once, WARM_CALLS))
        each = (time.perf_counter_ns() - start) * (count if threads == 1 else 1)  # of several, it is mostly the pauses
        rounds = min(max(int(seconds * 1e9 / each), LEAST_ROUNDS), MOST_ROUNDS)
        taken = alternate(turns(count), rounds, now)
        mine, other = (median(taken[name]) / count for name in "ot")

        nbytes = sum(times * size for times, size in zip(sweeps(layer)[i], sizes, strict=True))
        compute, move = rates((1 + i) * sizes[0] + sizes[1], threads)
        arithmetic, memory = (1 + i) * flops / compute, nbytes / move
        roofline = max(arithmetic, memory)
        row = {
            "layer": str(layer), "group": layer.group, "networks": layer.networks, "direction": direction,
            "threads": threads, "unit": unit, "ours": mine, "torch": other, "ratio": other / mine, "rounds": rounds,
            "flops": (1 + i) * flops, "bytes": nbytes, "roofline": roofline, "share": roofline / mine,
            "bound": "arithmetic" if arithmetic > memory else "memory",
        }  # fmt: skip
        if layer.weighted:
            grown = peak_memory(preparing(ours, direction, 1, threads)())
            row["extra_mib"] = None if grown is None else max(0, grown - sizes[1 - i]) / 2**20
        yield row


# ------------------------------------------------------------------------------------------------- printing


def line(row: Mapping[str, Any]) -> str:
    scale, unit = (1e6, "ms") if row["unit"] == "ns" else (1e6, "Mcycles")
    extra = f" {row['extra_mib']:6.1f} MiB" if row.get("extra_mib") is not None else ""
    return (
        f"{row['direction']:9s} {row['threads']} thr {row['ours'] / scale:9.3f} {unit}  "
        f"torch/ours {row['ratio']:5.2f}  {100 * row['share']:4.0f} % of {row['bound']:10s}{extra}  {row['layer']}"
    )


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a markdown table: the groups of the issue's table, the worst and the median ratio beside the required."""
    yield "| layers | threads | | required | worst | median | best | fall short | median share of the roofline |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    counted = [row for row in rows if row["unit"] != "ns" or row["torch"] >= PYTHON_NS]
    keys = {(row["group"], row["threads"], row["direction"]): None for row in counted}
    order = [*REQUIRED, *(group for group, _, _ in keys if group not in REQUIRED)]
    for group, threads, direction in sorted(keys, key=lambda key: (order.index(key[0]), *key[1:])):
        found = [
            row for row in counted if (row["group"], row["threads"], row["direction"]) == (group, threads, direction)
        ]
        ratios = sorted(row["ratio"] for row in found)
        required = REQUIRED.get(group, (0, 0))[direction == "gradients"]
        short, share = sum(ratio < required for ratio in ratios), 100 * median(row["share"] for row in found)
        cells = (group, threads, direction, required or "", *(f"{x(ratios):.2f}" for x in (min, median, max)))
        yield f"| {' | '.join(map(str, cells))} | {short} of {len(found)} | {share:.0f} % |"


def speedups(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how much faster two threads are than one, on layers above 100 MFLOP, and what the machine allows."""
    one = {(row["layer"], row["direction"]): row for row in rows if row["threads"] == 1 and row["unit"] == "ns"}
    found = [
        (one[key]["ours"] / row["ours"], one[key]["roofline"] / row["roofline"])
        for row in rows
        if row["threads"] == 2 and row["flops"] > 1e8 and (key := (row["layer"], row["direction"])) in one
    ]
    if found:
        (worst, middle), (_, allowed) = ((min(x), median(x)) for x in zip(*found, strict=True))
        yield (
            f"Two threads against one, {len(found)} rows above 100 MFLOP: {worst:.2f} at worst, {middle:.2f} in the "
            f"median; the roofline of two threads is {allowed:.2f} times that of one."
        )


def memory(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield which convolution took the most memory beside its arrays; a 3x3 one may keep its transformed filters."""
    found = [row for row in rows if row.get("extra_mib") is not None and row["layer"].startswith("conv2d")]
    for threads in sorted({row["threads"] for row in found}):
        worst = max((row for row in found if row["threads"] == threads), key=lambda row: row["extra_mib"])
        yield (
            f"Extra memory of a convolution on {threads} threads: at most {worst['extra_mib']:.1f} MiB "
            f"({worst['direction']}, {worst['layer']}); allowed are {32 * threads} and the transformed filters."
        )


def chosen(arguments: argparse.Namespace) -> list[Layer]:
    """Return the layers asked for; with --quick the first, the middle and the last of each group."""
    found = [
        layer
        for layer in layers(arguments.batch)
        if arguments.only in (None, layer.op)
        and arguments.group.lower() in layer.group.lower()
        and (arguments.network in (None, *layer.networks))
    ]
    if not arguments.quick:
        return found
    groups = groupby(sorted(found, key=lambda layer: layer.group), key=lambda layer: layer.group)
    some = [list(group) for _, group in groups]
    return [
        layer for group in some for layer in {id(x): x for x in (group[0], group[len(group) // 2], group[-1])}.values()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", metavar="OP", help="one op: conv2d, max_pool2d, ...")
    parser.add_argument("--group", default="", help="groups whose name contains this: 3x3, pool, ReLU, ...")
    parser.add_argument("--network", help="layers of one network: vgg16, resnet50, ...")
    parser.add_argument("--batch", type=int, default=4, help="images (LeNet-5 always has 64)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring, for each row")
    parser.add_argument("--quick", action="store_true", help="three layers of each group, half a second each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    arguments = parser.parse_args()
    seconds = 0.5 if arguments.quick else arguments.seconds

    print(f"{cpu()}, torch {torch.__version__}, clock of one thread: {clock()[1]}", flush=True)
    rows = []
    for layer in chosen(arguments):
        for threads in arguments.threads:
            for row in measure(layer, threads, seconds):
                rows.append(row)
                print(line(row), flush=True)
    print("", *summary(rows), "", *speedups(rows), *memory(rows), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"cpu": cpu(), "torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
