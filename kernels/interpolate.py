"""Another resolution, fast. Read reference/interpolate.py first.

- Pixels and weights are tabled once per axis, and the tables kept: in Python they take longer than a small image.
- Bilinear blends two rows of the image first, a vector at a time, then walks the blended row once; the gradient goes
  the same way back. A weight of 0 is not multiplied by: 0 * infinity is not 0.
- A row that repeats the one before it (nearest, enlarging) is copied.
- A job is one image plane. Its gradient is set to zero just before it is added to, while it is in the cache.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.geometry import linear_source, nearest_source
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import broadcast, fma, lanes, load, load_part, peek, poke, store, store_part


@kernel
def _nearest(start, stop, x, size, rows, cols, out):
    n, (h, w), h_out, w_out = lanes(x), size, rows.size, cols.size
    end = stop * h_out * w_out
    for plane in range(start, stop):
        for oy in range(h_out):
            at, to = (plane * h + peek(rows, oy)) * w, (plane * h_out + oy) * w_out
            if oy > 0 and peek(rows, oy) == peek(rows, oy - 1):
                for i in range(to, to + w_out, n):
                    store_part(out, i, end - i, load(out, i - w_out))
            else:
                for ox in range(w_out):
                    poke(out, to + ox, peek(x, at + peek(cols, ox)))


@kernel
def _nearest_grad(start, stop, grad_out, size, rows, cols, grad_input):
    (h, w), h_out, w_out = size, rows.size, cols.size
    zero = grad_input.dtype.type(0)
    for plane in range(start, stop):
        for i in range(plane * h * w, (plane + 1) * h * w):
            poke(grad_input, i, zero)
        for oy in range(h_out):
            at, to = (plane * h_out + oy) * w_out, (plane * h + peek(rows, oy)) * w
            for ox in range(w_out):
                place = to + peek(cols, ox)
                poke(grad_input, place, peek(grad_input, place) + peek(grad_out, at + ox))


@kernel
def _bilinear(start, stop, x, size, rows, row_weights, cols, col_weights, out):
    n, (h, w), h_out, w_out = lanes(x), size, rows.size // 2, cols.size // 2
    blend = np.empty(w + n, x.dtype)
    for plane in range(start, stop):
        for oy in range(h_out):
            y0, y1 = (plane * h + peek(rows, 2 * oy)) * w, (plane * h + peek(rows, 2 * oy + 1)) * w
            for i in range(0, w, n):
                row = load_part(x, y0 + i, w - i, 0)
                if y0 != y1:
                    lower = broadcast(row_weights, 2 * oy + 1) * load_part(x, y1 + i, w - i, 0)
                    row = fma(broadcast(row_weights, 2 * oy), row, lower)
                store(blend, i, row)
            to = (plane * h_out + oy) * w_out
            for ox in range(w_out):
                x0, x1 = peek(cols, 2 * ox), peek(cols, 2 * ox + 1)
                value = peek(blend, x0)
                if x0 != x1:
                    value = peek(col_weights, 2 * ox) * value + peek(col_weights, 2 * ox + 1) * peek(blend, x1)
                poke(out, to + ox, value)


@kernel
def _bilinear_grad(start, stop, grad_out, size, rows, row_weights, cols, col_weights, grad_input):
    n, (h, w), h_out, w_out = lanes(grad_out), size, rows.size // 2, cols.size // 2
    zero, end = grad_out.dtype.type(0), stop * h * w
    blend = np.empty(w + n, grad_out.dtype)
    for plane in range(start, stop):
        for i in range(plane * h * w, (plane + 1) * h * w):
            poke(grad_input, i, zero)
        for oy in range(h_out):
            for i in range(0, w + n):
                poke(blend, i, zero)
            for ox in range(w_out):
                grad = peek(grad_out, (plane * h_out + oy) * w_out + ox)
                x0, x1 = peek(cols, 2 * ox), peek(cols, 2 * ox + 1)
                poke(blend, x0, peek(blend, x0) + peek(col_weights, 2 * ox) * grad)
                if x0 != x1:
                    poke(blend, x1, peek(blend, x1) + peek(col_weights, 2 * ox + 1) * grad)
            for side in range(1 if peek(rows, 2 * oy) == peek(rows, 2 * oy + 1) else 2):
                weight, to = broadcast(row_weights, 2 * oy + side), (plane * h + peek(rows, 2 * oy + side)) * w
                for i in range(0, w, n):  # the blend is 0 beyond its end: nothing happens to the next row
                    old = load_part(grad_input, to + i, end - to - i, zero)
                    store_part(grad_input, to + i, end - to - i, fma(weight, load(blend, i), old))


@lru_cache(256)  # 0.1 ms for an image of 224 x 224
def _nearest_table(size, out, step):
    return np.fromiter((nearest_source(i, size, step) for i in range(out)), np.int64)


@lru_cache(256)
def _linear_tables(size, out, step, align_corners, dtype):
    """Two pixels and two weights for each output, one after the other."""
    taps = [linear_source(i, size, step, align_corners) for i in range(out)]
    pixels = np.array([pixels for *pixels, _ in taps]).reshape(-1)
    return pixels, np.array([(1 - weight, weight) for *_, weight in taps], dtype).reshape(-1)


def _tables(hw, out_hw, steps, mode, align_corners, dtype):
    if mode == "nearest":
        return [_nearest_table(hw[a], out_hw[a], steps[a]) for a in (0, 1)]
    return [t for a in (0, 1) for t in _linear_tables(hw[a], out_hw[a], steps[a], align_corners, dtype)]


def interpolate_forward(x, *, out_hw, steps, mode, align_corners):
    """Return x (N, C, H, W) as (N, C, *out_hw)."""
    n, c, h, w = x.shape
    out = np.empty((n, c, *out_hw), x.dtype)
    tables = _tables((h, w), out_hw, steps, mode, align_corners, x.dtype)
    run = _nearest if mode == "nearest" else _bilinear
    launch(run, n * c, x.reshape(-1), (h, w), *tables, out.reshape(-1), work=4 * out_hw[0] * (out_hw[1] + w))
    return out


def interpolate_grad_input(grad_out, *, input_shape, steps, mode, align_corners):
    """Add each output's gradient to the pixels it came from, by the same weights."""
    n, c, h, w = input_shape
    h_out, w_out = grad_out.shape[2:]
    grad_input = np.empty(input_shape, grad_out.dtype)
    tables = _tables((h, w), (h_out, w_out), steps, mode, align_corners, grad_out.dtype)
    run = _nearest_grad if mode == "nearest" else _bilinear_grad
    launch(run, n * c, grad_out.reshape(-1), (h, w), *tables, grad_input.reshape(-1), work=4 * h_out * (w_out + w))
    return grad_input
