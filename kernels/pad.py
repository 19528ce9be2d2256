"""A border around each image, fast. Read reference/pad.py first.

- Which pixel a place repeats is tabled once per axis. A row is then a copy of the image's row, whole vectors, between
  two short borders; what a vector is too long for its row is written over by what comes next.
- The gradient is written once too: first the pixels' own places, then what the places of a mirrored or repeated
  border add. 4 to 5 times as fast as zeros, then ``+=`` for every place, where the border is constant.
- A job is one image plane.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.geometry import pad_source
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import lanes, load_part, peek, poke, splat, store_part


@kernel
def _forward(start, stop, x, size, rows, cols, left, value, out):
    n, (h, w), h_out, w_out = lanes(x), size, rows.size, cols.size
    end = stop * h_out * w_out
    for plane in range(start, stop):
        for oy in range(h_out):
            at, to = (plane * h + rows[oy]) * w, (plane * h_out + oy) * w_out
            if rows[oy] < 0:
                for i in range(to, to + w_out, n):
                    store_part(out, i, end - i, splat(x, value))
                continue
            for ox in range(left):
                poke(out, to + ox, peek(x, at + peek(cols, ox)) if peek(cols, ox) >= 0 else value)
            for i in range(0, w, n):
                store_part(out, to + left + i, end - to - left - i, load_part(x, at + i, w - i, value))
            for ox in range(left + w, w_out):
                poke(out, to + ox, peek(x, at + peek(cols, ox)) if peek(cols, ox) >= 0 else value)


@kernel
def _grad_input(start, stop, grad_out, size, rows, cols, corner, repeats, grad_input):
    n, (h, w), h_out, w_out = lanes(grad_out), size, rows.size, cols.size
    (top, left), end = corner, stop * h * w
    for plane in range(start, stop):
        for y in range(h):
            at, to = (plane * h_out + top + y) * w_out + left, (plane * h + y) * w
            for i in range(0, w, n):
                grads = load_part(grad_out, at + i, grad_out.size - at - i, 0)
                store_part(grad_input, to + i, end - to - i, grads)
        for oy in range(h_out if repeats else 0):
            at, to = (plane * h_out + oy) * w_out, (plane * h + rows[oy]) * w
            for ox in range(w_out):
                if not (top <= oy < top + h and left <= ox < left + w):
                    grad_input[to + cols[ox]] += grad_out[at + ox]


@lru_cache(256)  # 0.1 ms for an image of 224 x 224
def _sources(size, pads, mode):
    return np.fromiter((pad_source(i, size, mode) for i in range(-pads[0], size + pads[1])), np.int64)


def pad_forward(x, *, padding, mode, value):
    """Return x (N, C, H, W) with its border: (N, C, top + H + bottom, left + W + right)."""
    n, c, h, w = x.shape
    rows, cols = _sources(h, padding[0], mode), _sources(w, padding[1], mode)
    out = np.empty((n, c, rows.size, cols.size), x.dtype)
    launch(
        _forward, n * c, x.reshape(-1), (h, w), rows, cols, padding[1][0], x.dtype.type(value), out.reshape(-1),
        work=rows.size * cols.size / 4,
    )  # fmt: skip
    return out


def pad_grad_input(grad_out, *, padding, mode):
    """Add each place's gradient to the pixel that it repeats; a constant's gradient is dropped."""
    n, c, h_out, w_out = grad_out.shape
    h, w = h_out - sum(padding[0]), w_out - sum(padding[1])
    rows, cols = _sources(h, padding[0], mode), _sources(w, padding[1], mode)
    grad_input = np.empty((n, c, h, w), grad_out.dtype)
    launch(
        _grad_input, n * c, grad_out.reshape(-1), (h, w), rows, cols, (padding[0][0], padding[1][0]),
        mode != "constant", grad_input.reshape(-1), work=h_out * w_out / 4,
    )  # fmt: skip
    return grad_input
