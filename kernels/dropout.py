"""Dropout, fast. Read reference/dropout.py first.

A job is one element, or one run of elements that share their fate.
"""

import math

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.reference.dropout import GOLDEN

# Numba turns uint64 + int64 into float64, so every constant is an np.uint64.
_GOLDEN = np.uint64(GOLDEN)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_TO_53_BITS = np.uint64(11)
_ONE = np.uint64(1)


@kernel
def _forward(start, stop, x, first, threshold, scale, zero, out):
    first += np.uint64(start) * _GOLDEN
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        a = x[i] * scale
        out[i] = a if _number(first, i) >= threshold else zero


@kernel
def _forward_runs(start, stop, x, first, threshold, scale, zero, out):
    for i in range(start, stop):
        kept = _number(first, i) >= threshold
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] * scale if kept else zero


@kernel
def _number(first, i):
    """Random number i of the call, uniform in 0 .. 2**53 - 1."""
    return _mix(first + (np.uint64(i) + _ONE) * _GOLDEN) >> _TO_53_BITS


@kernel
def _mix(z):
    z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
    z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
    return z ^ (z >> _SHIFTS[2])


def dropout_forward(x, *, p, seed, step, share):
    """Drop or scale; runs of ``share`` elements have one fate (1, or H * W to drop whole planes).

    The op is linear and treats each element alone, so ``dropout_forward(grad_out, ...)`` is its gradient.
    """
    out = np.empty_like(x)
    # number >= p * 2**53, asked in integers; p = 1 has a threshold that no number reaches.
    threshold = np.uint64(math.ceil(p * 2**53))
    scale, zero = x.dtype.type(1 / (1 - p) if p < 1 else 0), x.dtype.type(0)
    first = np.uint64(_mix(np.uint64(_mix(np.uint64(seed))) ^ np.uint64(step)))
    constants = (first, threshold, scale, zero)
    if share == 1:
        launch(_forward, x.size, x.reshape(-1), *constants, out.reshape(-1), work=4)
    else:
        runs = (x.size // share, share)
        launch(_forward_runs, runs[0], x.reshape(runs), *constants, out.reshape(runs), work=share)
    return out
