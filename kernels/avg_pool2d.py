"""Mean over a sliding window, fast. Read reference/avg_pool2d.py first.

- A window is a range of rows and a range of columns, so both are tabled once per axis: (first, past the
  last, count). Any pool of means is such a pair of tables; adaptive_avg_pool2d runs on the same kernels.
- The sum is taken down the rows first, for a whole row of the image at once (contiguous, hence SIMD); only
  that one row of sums is then walked window by window. The gradient goes the same way back.
- A job is one image plane, so that overlapping windows never meet in two threads.
"""

import numpy as np

from minicnn.kernels.geometry import pool_window
from minicnn.kernels.jit import kernel, launch


@kernel
def _forward(start, stop, x, rows, cols, out):
    w = x.shape[2]
    column_sums = np.empty(w, x.dtype)
    for plane in range(start, stop):
        for oy in range(rows.shape[0]):
            y0, y1, n_rows = rows[oy, 0], rows[oy, 1], rows[oy, 2]
            column_sums[:] = x[plane, y0]
            for y in range(y0 + 1, y1):
                for i in range(w):
                    column_sums[i] += x[plane, y, i]
            for ox in range(cols.shape[0]):
                x0, x1, n_cols = cols[ox, 0], cols[ox, 1], cols[ox, 2]
                total = column_sums[x0]
                for i in range(x0 + 1, x1):
                    total += column_sums[i]
                out[plane, oy, ox] = total / (n_rows * n_cols)


@kernel
def _grad_input(start, stop, grad_out, rows, cols, grad_input):
    w = grad_input.shape[2]
    shares = np.empty(w, grad_out.dtype)
    for plane in range(start, stop):
        for oy in range(rows.shape[0]):
            y0, y1, n_rows = rows[oy, 0], rows[oy, 1], rows[oy, 2]
            shares[:] = 0
            for ox in range(cols.shape[0]):
                x0, x1, n_cols = cols[ox, 0], cols[ox, 1], cols[ox, 2]
                share = grad_out[plane, oy, ox] / (n_rows * n_cols)
                for i in range(x0, x1):
                    shares[i] += share
            for y in range(y0, y1):
                for i in range(w):
                    grad_input[plane, y, i] += shares[i]


def mean_of_windows(x, rows, cols):
    """Mean of every window: ``rows`` (H_out, 3) and ``cols`` (W_out, 3) hold (first, past the last, count)."""
    n, c, h, w = x.shape
    h_out, w_out = len(rows), len(cols)
    out = np.empty((n, c, h_out, w_out), x.dtype)
    launch(_forward, n * c, x.reshape(n * c, h, w), rows, cols, out.reshape(n * c, h_out, w_out), work=h * w)
    return out


def spread_over_windows(grad_out, rows, cols, input_shape):
    """Give each pixel of a window its share of the output's gradient, the transpose of the above."""
    n, c, h, w = input_shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    planes = grad_out.reshape(n * c, len(rows), len(cols))
    launch(_grad_input, n * c, planes, rows, cols, grad_input.reshape(n * c, h, w), work=h * w)
    return grad_input


def _table(size, out, kernel, stride, pads, count_include_pad):
    return np.array([pool_window(i, size, kernel, stride, pads, count_include_pad) for i in range(out)])


def _tables(hw, out_hw, kernel, stride, padding, count_include_pad):
    rows, cols = (_table(hw[a], out_hw[a], kernel[a], stride[a], padding[a], count_include_pad) for a in (0, 1))
    return rows, cols


def avg_pool2d_forward(x, *, kernel, stride, padding, out_hw, count_include_pad):
    """Return the means (N, C, H_out, W_out) of x (N, C, H, W)."""
    rows, cols = _tables(x.shape[2:], out_hw, kernel, stride, padding, count_include_pad)
    return mean_of_windows(x, rows, cols)


def avg_pool2d_grad_input(grad_out, *, input_shape, kernel, stride, padding, count_include_pad):
    """Give each pixel of a window its share of the output's gradient; windows overlap, so add."""
    rows, cols = _tables(input_shape[2:], grad_out.shape[2:], kernel, stride, padding, count_include_pad)
    return spread_over_windows(grad_out, rows, cols, input_shape)
