"""Mean over a sliding window, fast. Read reference/avg_pool2d.py first.

- A window is a range of rows and a range of columns, so both are tabled once per axis: (first, past the last, count).
  Any pool of means is such a pair of tables; adaptive_avg_pool2d runs on the same kernels.
- The sum is taken down the rows first, for a whole row of the image, a vector at a time; only that one line of sums is
  then walked window by window. The gradient goes the same way back.
- One window that is the whole image (the global average pool) is a sum along a plane, wherever its rows end.
- Gradients are written once, a pixel adding the shares of the windows that it is in: zeros, then ``+=``, is twice the
  traffic.

A job is one image plane.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels.geometry import pool_window
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    broadcast,
    even,
    lanes,
    load,
    load_part,
    odd,
    peek,
    poke,
    splat,
    store,
    store_part,
    tuple_setitem,
)


@kernel
def _means(start, stop, x, size, rows, cols, out):
    n, (h, w), (h_out, w_out) = lanes(x), size, (rows.size // 3, cols.size // 3)
    line = np.empty(w + n, x.dtype)
    for plane in range(start, stop):
        for oy in range(h_out):
            y0, y1 = peek(rows, 3 * oy), peek(rows, 3 * oy + 1)
            for i in range(0, w, n):
                column = splat(x, x.dtype.type(0))
                for y in range(plane * h + y0, plane * h + y1):
                    column = column + load_part(x, y * w + i, w - i, 0)
                store(line, i, column)
            for ox in range(w_out):
                row = x.dtype.type(0)
                for i in range(peek(cols, 3 * ox), peek(cols, 3 * ox + 1)):
                    row += peek(line, i)
                count = x.dtype.type(peek(rows, 3 * oy + 2) * peek(cols, 3 * ox + 2))
                poke(out, (plane * h_out + oy) * w_out + ox, row / count)


@kernel
def _shares(start, stop, grad_out, rows, cols, size, above, grad_input):
    """Spread each row of shares over its pixels; a row of the image then adds the rows of the windows that it is in."""
    n, (h, w), (h_out, w_out) = lanes(grad_out), size, (rows.size // 3, cols.size // 3)
    spread, end, zero = np.empty(h_out * w + n, grad_out.dtype), stop * h * w, grad_out.dtype.type(0)
    for plane in range(start, stop):
        for i in range(0, h_out * w, n):
            store(spread, i, splat(spread, zero))
        for oy in range(h_out):
            for ox in range(w_out):
                count = grad_out.dtype.type(peek(rows, 3 * oy + 2) * peek(cols, 3 * ox + 2))
                share = peek(grad_out, (plane * h_out + oy) * w_out + ox) / count
                for i in range(oy * w + peek(cols, 3 * ox), oy * w + peek(cols, 3 * ox + 1)):
                    poke(spread, i, peek(spread, i) + share)
        for y in range(h):
            at, oy0, oy1 = (plane * h + y) * w, peek(above, 2 * y), peek(above, 2 * y + 1)
            for i in range(0, w, n):
                share = splat(grad_out, zero)
                for oy in range(oy0, oy1):
                    share = share + load(spread, oy * w + i)
                store_part(grad_input, at + i, end - at - i, share)


@kernel
def _mean_of_planes(start, stop, x, length, out):
    """Sum four planes at a time to a vector each, then the vectors of n planes crosswise to one vector of n sums."""
    n, rest = lanes(x), length % lanes(x)
    zero, ends = splat(x, x.dtype.type(0)), np.empty(max(n, 4) * n, x.dtype)
    for plane in range(start, stop, n):
        for k in range(plane, plane + n, 4):  # beyond the last plane, that one again
            sums = (zero, zero, zero, zero)
            for j in range(4):
                sums = tuple_setitem(sums, j, load_part(x, (min(k + j, stop - 1) + 1) * length - rest, rest, 0))
            for i in range(0, length - rest, n):
                for j in range(4):
                    sums = tuple_setitem(sums, j, sums[j] + load(x, min(k + j, stop - 1) * length + i))
            for j in range(4):
                store(ends, (k - plane + j) * n, sums[j])
        count = n
        while count > 1:
            count //= 2
            for k in range(count):
                a, b = load(ends, 2 * k * n), load(ends, (2 * k + 1) * n)
                store(ends, k * n, even(a, b) + odd(a, b))
        store_part(out, plane, stop - plane, load(ends, 0) / splat(x, x.dtype.type(length)))


@kernel
def _fill_planes(start, stop, grad_out, length, grad_input):
    n, end = lanes(grad_out), stop * length
    for plane in range(start, stop):
        share = broadcast(grad_out, plane) / splat(grad_out, grad_out.dtype.type(length))
        for i in range(plane * length, (plane + 1) * length, n):
            store_part(grad_input, i, end - i, share)


def axis(windows, size):
    """Table the windows of one axis, (first, past the last, count) of each; which windows each pixel is in; and tell
    whether the one window is the whole axis.
    """
    windows = np.array(windows)
    members = [np.searchsorted(windows[:, edge], np.arange(size), "right") for edge in (1, 0)]  # first, past the last
    return windows.reshape(-1), np.column_stack(members).reshape(-1), windows.tolist() == [[0, size, size]]


def mean_of_windows(x, rows, cols):
    """Mean of every window of two tables made by ``axis``."""
    n, c, h, w = x.shape
    (rows, _, all_rows), (cols, _, all_cols) = rows, cols
    out = np.empty((n, c, len(rows) // 3, len(cols) // 3), x.dtype)
    if all_rows and all_cols:
        launch(_mean_of_planes, n * c, x.reshape(-1), h * w, out.reshape(-1), work=h * w / 8)
    else:
        launch(_means, n * c, x.reshape(-1), (h, w), rows, cols, out.reshape(-1), work=h * w)
    return out


def spread_over_windows(grad_out, rows, cols, input_shape):
    """Give each pixel of a window its share of the output's gradient, the transpose of the above."""
    n, c, h, w = input_shape
    (rows, above, all_rows), (cols, _, all_cols) = rows, cols
    grad_input = np.empty(input_shape, grad_out.dtype)
    grads, grad_inputs = grad_out.reshape(-1), grad_input.reshape(-1)
    if all_rows and all_cols:
        launch(_fill_planes, n * c, grads, h * w, grad_inputs, work=h * w / 8)
    else:
        launch(_shares, n * c, grads, rows, cols, (h, w), above, grad_inputs, work=h * w)
    return grad_input


@lru_cache(maxsize=256)
def _windows(size, out, kernel, stride, pads, count_include_pad):
    return axis([pool_window(i, size, kernel, stride, pads, count_include_pad) for i in range(out)], size)


def _tables(hw, out_hw, kernel, stride, padding, count_include_pad):
    return [_windows(hw[a], out_hw[a], kernel[a], stride[a], padding[a], count_include_pad) for a in (0, 1)]


def avg_pool2d_forward(x, *, kernel, stride, padding, out_hw, count_include_pad):
    """Return the means (N, C, H_out, W_out) of x (N, C, H, W)."""
    return mean_of_windows(x, *_tables(x.shape[2:], out_hw, kernel, stride, padding, count_include_pad))


def avg_pool2d_grad_input(grad_out, *, input_shape, kernel, stride, padding, count_include_pad):
    """Give each pixel of a window its share of the output's gradient; windows overlap, so add."""
    tables = _tables(input_shape[2:], grad_out.shape[2:], kernel, stride, padding, count_include_pad)
    return spread_over_windows(grad_out, *tables, input_shape)
