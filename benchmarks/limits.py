"""What kernels must keep to beside being fast on layers: the micro-kernel, Python's cost, compiling, Winograd's error.

    python benchmarks/limits.py                  # all of them: some minutes
    python benchmarks/limits.py tile overhead    # these

The memory that convolutions take is a column of ops.py. Only ``error`` needs `pip install torch==2.13.0`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from statistics import median

import numpy as np

import minicnn
import minicnn.functional as F
from layers import layers
from measure import LANES, alternate, clock, multiply_adds
from minicnn.kernels.gemm import DEPTH, ROWS, tile
from minicnn.kernels.jit import kernel
from minicnn.kernels.simd import lanes
from ours import Ours

# --------------------------------------------------------------------------------------------- micro-kernel


@kernel
def _tiles(start, stop, a, b, none, c, places, scratch):
    width = 2 * lanes(c)
    for _ in range(start, stop):
        tile(DEPTH, a, 0, 1, ROWS, b, 0, None, none, none, 0, 0, c, 0, width, places, 0, True, ROWS, width, scratch)


def micro_kernel() -> Iterator[str]:
    """Yield the share of the FMA units' speed that the micro-kernel reaches on panels in the first-level cache."""
    minicnn.set_num_threads(1)
    width, count = 2 * LANES, 2000
    a, b, none, c, scratch = (
        np.zeros(size, np.float32) for size in (DEPTH * ROWS, DEPTH * width, 0, ROWS * width, ROWS * width)
    )
    run = partial(_tiles, 0, count, a, b, none, c, np.arange(width), scratch)
    peak, flops = multiply_adds()
    run(), peak()
    taken = alternate({"tile": lambda: run, "peak": lambda: peak}, 50, clock()[0])
    reached = count * 2.0 * ROWS * width * DEPTH / median(taken["tile"])
    yield f"tile, depth {DEPTH}: {100 * reached / (flops / median(taken['peak'])):.1f} % of the FMA peak (>= 93)"


# ------------------------------------------------------------------------------------------- Python's cost


def overhead() -> Iterator[str]:
    """Yield what a public op costs on inputs so small that the kernel has nothing to do."""
    minicnn.set_num_threads(1)
    one, weight, vector = (np.ones(shape, np.float32) for shape in ((1, 1, 2, 2), (1, 1, 1, 1), (1,)))
    calls = {
        "conv2d": partial(F.conv2d, bias=minicnn.Tensor(vector)),
        "depthwise_conv2d": F.depthwise_conv2d,
        "batch_norm2d": lambda x, w: F.batch_norm2d(x, None, None, w.reshape(1), None, training=True),
        "max_pool2d": lambda x, _: F.max_pool2d(x, 2),
        "avg_pool2d": lambda x, _: F.avg_pool2d(x, 2),
        "local_response_norm": lambda x, _: F.local_response_norm(x, 5),
        "relu": lambda x, _: F.relu(x),
        "add": F.add,
        "softmax": lambda x, _: F.softmax(x),
    }
    for name, call in calls.items():
        cells = []
        for recording in (False, True):
            x, w = (minicnn.Tensor(array, requires_grad=recording) for array in (one, weight))

            def run(call=call, x=x, w=w) -> None:
                for _ in range(100):
                    call(x, w)

            run()
            taken = alternate({"": lambda run=run: run}, 40, time.thread_time_ns)[""]
            cells.append(f"{median(taken) / 1e5:5.1f} us (at least {min(taken) / 1e5:.1f})")
        yield f"{name:20s} {cells[0]} without recording (<= 15), {cells[1]} with (<= 25)"


# ------------------------------------------------------------------------------------------------ compiling

STEP = """
import sys, time, json
sys.path.insert(0, sys.argv[1])
begin = time.perf_counter()
from ours import Ours
from layers import layers
imported = time.perf_counter()
wanted = [Ours(layer) for layer in layers(1) if "resnet50" in layer.networks or layer.op == "cross_entropy"]
seconds = [imported - begin]
for _ in range(2):
    start = time.perf_counter()
    for layer in wanted:
        layer.gradients(layer.record())
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
"""


def compiling() -> Iterator[str]:
    """Yield how long a ResNet-50's layers, forward and backward, wait for their machine code."""
    with tempfile.TemporaryDirectory() as folder:
        for state, limit in (("an empty cache", 60), ("the cache", 1.5)):
            done = subprocess.run(
                [sys.executable, "-c", STEP, os.path.dirname(__file__)],
                env=os.environ | {"MINICNN_CACHE_DIR": folder}, stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            imported, first, second = json.loads(done.stdout)
            yield (
                f"ResNet-50's layers from {state}: {first - second:.1f} s of compiling or loading (<= {limit}); "
                f"import {imported:.1f} s, all layers once {second:.1f} s"
            )


# ---------------------------------------------------------------------------------------- Winograd's error


def error() -> Iterator[str]:
    """Yield the largest error of 3x3 convolutions in float32, over the standard deviation of the true result."""
    from ops import Theirs  # imports PyTorch

    worst = 0.0
    for layer in layers(1):
        if layer.op == "conv2d" and layer.shapes[1][2:] == (3, 3) and "stride" not in layer.options:
            ours, truth = Ours(layer), Theirs(layer, np.float64)
            pairs = [
                ("out", ours.forward().array, truth.forward()),
                *zip(
                    ("grad_input", "grad_weight"),
                    ours.gradients(ours.record()),
                    truth.gradients(truth.record()),
                    strict=False,
                ),
            ]
            errors = {name: float(np.abs(a - np.asarray(b)).max() / np.asarray(b).std()) for name, a, b in pairs}
            worst = max(worst, *errors.values())
            yield "  ".join(f"{name} {value:.1e}" for name, value in errors.items()) + f"  {layer}"
    yield f"largest error / standard deviation: {worst:.1e} (< 2e-4)"


PARTS = {"tile": micro_kernel, "overhead": overhead, "compiling": compiling, "error": error}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="part", help=", ".join(PARTS))
    for name in parser.parse_args().parts or PARTS:
        print(f"\n{name}", flush=True)
        for text in PARTS[name]():
            print(text, flush=True)


if __name__ == "__main__":
    main()
