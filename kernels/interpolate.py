"""Another resolution, fast. Read reference/interpolate.py first.

- Pixels and weights are tabled once per axis, and the tables kept: in Python they take longer than a small image.
- Bilinear blends two rows of the image first (contiguous, hence SIMD), then walks the blended row once;
  the gradient goes the same way back. A weight of 0 is not multiplied by: 0 * infinity is not 0.
- A job is one image plane.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.geometry import linear_source, nearest_source
from minicnn.kernels.jit import kernel, launch


@kernel
def _nearest(start, stop, x, rows, cols, out):
    for plane in range(start, stop):
        for oy in range(rows.size):
            y = rows[oy]
            for ox in range(cols.size):
                out[plane, oy, ox] = x[plane, y, cols[ox]]


@kernel
def _nearest_grad(start, stop, grad_out, rows, cols, grad_input):
    for plane in range(start, stop):
        for oy in range(rows.size):
            y = rows[oy]
            for ox in range(cols.size):
                grad_input[plane, y, cols[ox]] += grad_out[plane, oy, ox]


@kernel
def _bilinear(start, stop, x, rows, row_weights, cols, col_weights, out):
    w = x.shape[2]
    blend = np.empty(w, x.dtype)
    for plane in range(start, stop):
        for oy in range(rows.shape[0]):
            y0, y1 = rows[oy, 0], rows[oy, 1]
            w0, w1 = row_weights[oy, 0], row_weights[oy, 1]
            if y0 == y1:
                blend[:] = x[plane, y0]
            else:
                for i in range(w):
                    blend[i] = w0 * x[plane, y0, i] + w1 * x[plane, y1, i]
            for ox in range(cols.shape[0]):
                x0, x1 = cols[ox, 0], cols[ox, 1]
                if x0 == x1:
                    out[plane, oy, ox] = blend[x0]
                else:
                    out[plane, oy, ox] = col_weights[ox, 0] * blend[x0] + col_weights[ox, 1] * blend[x1]


@kernel
def _bilinear_grad(start, stop, grad_out, rows, row_weights, cols, col_weights, grad_input):
    w = grad_input.shape[2]
    blend = np.empty(w, grad_out.dtype)
    for plane in range(start, stop):
        for oy in range(rows.shape[0]):
            blend[:] = 0
            for ox in range(cols.shape[0]):
                for side in range(1 if cols[ox, 0] == cols[ox, 1] else 2):
                    blend[cols[ox, side]] += col_weights[ox, side] * grad_out[plane, oy, ox]
            for side in range(1 if rows[oy, 0] == rows[oy, 1] else 2):
                y, weight = rows[oy, side], row_weights[oy, side]
                for i in range(w):
                    grad_input[plane, y, i] += weight * blend[i]


@lru_cache(256)
def _nearest_table(size, out, step):
    return np.fromiter((nearest_source(i, size, step) for i in range(out)), np.int64)


@lru_cache(256)
def _linear_tables(size, out, step, align_corners, dtype):
    """Pixels (out, 2) and weights (out, 2)."""
    taps = [linear_source(i, size, step, align_corners) for i in range(out)]
    return np.array([pixels for *pixels, _ in taps]), np.array([(1 - weight, weight) for *_, weight in taps], dtype)


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
    planes = (n * c, *out_hw)
    launch(run, n * c, x.reshape(n * c, h, w), *tables, out.reshape(planes), work=4 * out_hw[0] * (out_hw[1] + w))
    return out


def interpolate_grad_input(grad_out, *, input_shape, steps, mode, align_corners):
    """Add each output's gradient to the pixels it came from, by the same weights."""
    n, c, h, w = input_shape
    h_out, w_out = grad_out.shape[2:]
    grad_input = np.zeros(input_shape, grad_out.dtype)
    tables = _tables((h, w), (h_out, w_out), steps, mode, align_corners, grad_out.dtype)
    run = _nearest_grad if mode == "nearest" else _bilinear_grad
    planes = grad_out.reshape(n * c, h_out, w_out)
    launch(run, n * c, planes, *tables, grad_input.reshape(n * c, h, w), work=4 * h_out * (w_out + w))
    return grad_input
