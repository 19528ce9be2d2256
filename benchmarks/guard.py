"""Has any kernel become more than 20 % slower? Run by .ci/run: a fixed workload against a committed baseline.

    python benchmarks/guard.py             # status 1 if something fell back
    python benchmarks/guard.py --update    # after a change that was meant: writes guard.json, to be committed

Seconds differ between machines and between hours, and not every system counts cycles. So calls of at most some
milliseconds take turns with a loop of nothing but multiply-adds, and what counts is the shortest of 100 turns, in
shortest turns of that loop: sooner or later nobody disturbs us for a millisecond. Where arrays happen to lie in memory
counts too, so a measurement is a process of its own and renews its arrays now and then; the baseline is the median of
five measurements, and a row fails if three in a row are slower. Nine measurements beside two programs that kept both
cores busy: 196 of 198 rows at most 15 % above the baseline, one at 1.22, one at 1.29. On a quiet machine: 2 % (EPYC).

Baselines are kept by processor. Where one has none, figures are printed and nothing fails.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import minicnn
from layers import Layer, Network
from measure import alternate, clock, cpu, keep_memory, multiply_adds, trim_memory
from ours import Ours

BASELINES = Path(__file__).with_suffix(".json")
SLOWER = 1.2
ATTEMPTS, UPDATES = 3, 5  # processes
RENEWALS, TURNS = 5, 20  # of the arrays; and with each

# A layer for each way in which kernels work.
NETWORKS = (
    Network(1, 64, 28, 28).conv(64, 3),
    Network(1, 256, 14, 14).conv(64, 1),
    Network(1, 64, 28, 28).conv(64, 3, 2),
    Network(1, 3, 64, 64).conv(32, 7, 2),
    Network(1, 64, 28, 28).depthwise(),
    Network(1, 64, 28, 28).bn("relu"),
    Network(1, 64, 28, 28).max_pool(3, 2, 1),
    Network(1, 64, 28, 28).lrn(),
    Network(4, 64, 28, 28).relu(),
    Network(16, 512).linear(128, batches=(16,)),
    Network(1).loss(64, 100),
)
WORKLOAD = [net.layers[-1] for net in NETWORKS]

Side = Callable[[], Callable[[], Any]]


def sides(layer: Layer) -> dict[str, Side]:
    """Return the layer's rows for ``alternate``: forward, and all gradients; each after a call that is not timed."""
    ours = Ours(layer)

    def forward() -> Callable[[], Any]:
        ours.forward()
        return ours.forward

    def gradients() -> Callable[[], Any]:
        ours.gradients(ours.record())
        return partial(ours.gradients, ours.record())

    return {f"{layer} forward": forward, f"{layer} gradients": gradients}


def measure() -> dict[str, float]:
    """Return each row's shortest time, in shortest times of the yardstick."""
    minicnn.set_num_threads(1)
    keep_memory()
    now, _ = clock()
    yardstick, _ = multiply_adds(50_000)
    least: dict[str, int] = {}
    for _ in range(RENEWALS):
        rows: dict[str, Side] = {"yardstick": lambda: yardstick}
        for layer in WORKLOAD:
            rows |= sides(layer)
        alternate(rows, 1, now)  # compiled, and memory taken
        least = {name: min(least.get(name, taken[0]), *taken) for name, taken in alternate(rows, TURNS, now).items()}
        del rows
        trim_memory()
    unit = least.pop("yardstick")
    return {name: taken / unit for name, taken in least.items()}


def measure_in_new_process() -> dict[str, float]:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(measure).result()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--update", action="store_true", help="write what is measured now as this processor's baseline")
    machine = f"{cpu()}, {clock()[1]}"
    known = json.loads(BASELINES.read_text()) if BASELINES.exists() else {}
    if parser.parse_args().update:
        runs = [measure_in_new_process() for _ in range(UPDATES)]
        known[machine] = {name: round(median(run[name] for run in runs), 3) for name in runs[0]}
        BASELINES.write_text(json.dumps(known, indent=1) + "\n")
        return 0

    baseline = known.get(machine, {})
    best = measure_in_new_process()
    for _ in range(1, ATTEMPTS):
        if any(value > SLOWER * baseline.get(name, value) for name, value in best.items()):
            best = {name: min(best[name], value) for name, value in measure_in_new_process().items()}
    slower = 0
    for name, value in best.items():
        ratio = value / baseline.get(name, value)
        slower += ratio > SLOWER
        print(f"{value:8.3f}  {ratio:5.2f} of the baseline{'  SLOWER' if ratio > SLOWER else ''}  {name}")
    if missing := best.keys() - baseline.keys():
        print(f"no baseline for {len(missing)} rows on {machine}: write one with benchmarks/guard.py --update")
    return int(slower > 0)


if __name__ == "__main__":
    raise SystemExit(main())
