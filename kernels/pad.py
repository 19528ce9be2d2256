"""A border around each image, fast. Read reference/pad.py first.

Which pixel a place repeats is tabled once per axis; a row is then a contiguous copy of the image's row
between two short borders. A job is one image plane.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.geometry import pad_source
from minicnn.kernels.jit import kernel, launch


@kernel
def _forward(start, stop, x, rows, cols, left, value, out):
    _, h_out, w_out = out.shape
    w = x.shape[2]
    for plane in range(start, stop):
        for oy in range(h_out):
            y = rows[oy]
            if y < 0:
                out[plane, oy] = value
                continue
            for ox in range(left):
                out[plane, oy, ox] = x[plane, y, cols[ox]] if cols[ox] >= 0 else value
            out[plane, oy, left : left + w] = x[plane, y]
            for ox in range(left + w, w_out):
                out[plane, oy, ox] = x[plane, y, cols[ox]] if cols[ox] >= 0 else value


@kernel
def _grad_input(start, stop, grad_out, rows, cols, left, grad_input):
    _, h_out, w_out = grad_out.shape
    w = grad_input.shape[2]
    for plane in range(start, stop):
        for oy in range(h_out):
            y = rows[oy]
            if y < 0:
                continue
            for i in range(w):
                grad_input[plane, y, i] += grad_out[plane, oy, left + i]
            for ox in range(left):
                if cols[ox] >= 0:
                    grad_input[plane, y, cols[ox]] += grad_out[plane, oy, ox]
            for ox in range(left + w, w_out):
                if cols[ox] >= 0:
                    grad_input[plane, y, cols[ox]] += grad_out[plane, oy, ox]


@lru_cache(256)
def _sources(size, pads, mode):
    return np.fromiter((pad_source(i, size, mode) for i in range(-pads[0], size + pads[1])), np.int64)


def pad_forward(x, *, padding, mode, value):
    """Return x (N, C, H, W) with its border: (N, C, top + H + bottom, left + W + right)."""
    n, c, h, w = x.shape
    rows, cols = _sources(h, padding[0], mode), _sources(w, padding[1], mode)
    h_out, w_out = len(rows), len(cols)
    out = np.empty((n, c, h_out, w_out), x.dtype)
    launch(
        _forward, n * c, x.reshape(n * c, h, w), rows, cols, padding[1][0], x.dtype.type(value),
        out.reshape(n * c, h_out, w_out), work=h_out * w_out,
    )  # fmt: skip
    return out


def pad_grad_input(grad_out, *, padding, mode):
    """Add each place's gradient to the pixel that it repeats; a constant's gradient is dropped."""
    n, c, h_out, w_out = grad_out.shape
    h, w = h_out - sum(padding[0]), w_out - sum(padding[1])
    rows, cols = _sources(h, padding[0], mode), _sources(w, padding[1], mode)
    grad_input = np.zeros((n, c, h, w), grad_out.dtype)
    launch(
        _grad_input, n * c, grad_out.reshape(n * c, h_out, w_out), rows, cols, padding[1][0],
        grad_input.reshape(n * c, h, w), work=h_out * w_out,
    )  # fmt: skip
    return grad_input
