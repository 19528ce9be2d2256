"""Mean over a sliding window, fast. Read reference/avg_pool2d.py, then max_pool2d.py first."""

from functools import cache, lru_cache

import numpy as np

from minicnn.kernels.geometry import pool_window
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import deal
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
    zip_high,
    zip_low,
)

BLOCK = 4096  # pixels that a job sorts at a time: they stay in the first-level cache
MOST_TAPS = 25  # a larger window is not spelled out tap by tap


# ------------------------------------------------------------------------------------------- small windows


@cache
def _forward(window, stride, corner):
    (kh, kw), (sy, sx), (top, left) = window, stride, corner
    reach = (kh - 1) // sy

    @kernel
    def run(start, stop, x, size, rows, cols, out):
        n, end = lanes(x), stop * rows.size * (cols.size - lanes(x))
        (h, w), h_out, w_out = size, rows.size, cols.size - n
        pitch = max((w + left - 1) // sx + 1, w_out + (kw - 1) // sx)
        most = min(h_out, max(1, BLOCK // (pitch * sy * sx) - reach))
        planes = max(1, BLOCK // (pitch * sy * sx * (h_out + reach)))
        apart = planes * (most + reach) * pitch + 2 * n
        zero = x.dtype.type(0)
        pixels = np.zeros(sy * sx * apart, x.dtype)
        for plane0 in range(start, stop, planes):
            for oy0 in range(0, h_out, most):
                here = min(most, h_out - oy0)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    to = (plane - plane0) * (most + reach) * pitch
                    deal(x, plane * h * w, size, oy0, here + reach, stride, corner, zero, pixels, to, pitch, apart)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    for row in range(here):
                        at = ((plane - plane0) * (most + reach) + row) * pitch
                        to = (plane * h_out + oy0 + row) * w_out
                        for ox in range(0, w_out, n):
                            total = splat(x, zero)
                            for ky in range(kh):
                                for kx in range(kw):
                                    place = (ky % sy * sx + kx % sx) * apart + ky // sy * pitch + kx // sx
                                    total = total + load(pixels, place + at + ox)
                            count = broadcast(rows, oy0 + row) * load(cols, ox)
                            store_part(out, to + ox, end - to - ox, total / count)

    return run


@cache
def _grad_input(window, stride, corner):
    (kh, kw), (sy, sx), (top, left) = window, stride, corner
    back, ahead = -((top - kh + 1) // sy), (sy - 1 + top) // sy
    margin = -((left - kw + 1) // sx)

    @kernel
    def run(start, stop, grad_out, rows, cols, size, grad_input):
        n, end = lanes(grad_input), stop * size[0] * size[1]
        (h, w), h_out, w_out = size, rows.size, cols.size - n
        lines = (h - 1) // sy + 1
        pitch = margin + max(w_out, (w - 1) // sx + 1 + (sx - 1 + left) // sx)
        most = min(lines, max(1, BLOCK // pitch - back - ahead))
        planes = max(1, BLOCK // (pitch * (lines + back + ahead)))
        held = back + most + ahead
        zero = grad_input.dtype.type(0)
        shares = np.zeros(planes * held * pitch + 3 * n, grad_input.dtype)
        nothing = splat(grad_input, zero)
        for plane0 in range(start, stop, planes):
            for line0 in range(0, lines, most):
                here = min(most, lines - line0)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    to = (plane - plane0) * held * pitch
                    for row in range(back + here + ahead):
                        oy, at = line0 + row - back, to + row * pitch
                        if oy < 0 or oy >= h_out:
                            for i in range(0, pitch, n):
                                store(shares, at + i, nothing)
                        else:
                            for ox in range(0, w_out, n):
                                grads = load_part(grad_out, (plane * h_out + oy) * w_out + ox, w_out - ox, zero)
                                store(shares, at + margin + ox, grads / (broadcast(rows, oy) * load(cols, ox)))
                for plane in range(plane0, min(plane0 + planes, stop)):
                    for line in range(here):
                        at = ((plane - plane0) * held + line + back) * pitch + margin
                        to = (plane * h + (line0 + line) * sy) * w
                        last = (w - 1) // (sx * n) * n
                        i = last  # comes first, for it writes beyond its row, into the beginning of the next one
                        for _ in range(0, w, sx * n):
                            sums = (nothing, nothing, nothing, nothing)
                            for ky in range(kh):
                                for kx in range(kw):
                                    py, px = (ky - top) % sy, (kx - left) % sx
                                    oy, ox = (py + top - ky) // sy, (px + left - kx) // sx
                                    share = load(shares, at + oy * pitch + ox + i)
                                    sums = tuple_setitem(sums, py * 2 + px, sums[py * 2 + px] + share)
                            for py in range(sy):
                                here_to = to + py * w + sx * i
                                if sx == 1:
                                    store_part(grad_input, here_to, end - here_to, sums[2 * py])
                                else:
                                    a, b = sums[2 * py], sums[2 * py + 1]
                                    store_part(grad_input, here_to, end - here_to, zip_low(a, b))
                                    store_part(grad_input, here_to + n, end - here_to - n, zip_high(a, b))
                            i = i + n if i < last else 0

    return run


# ------------------------------------------------------------------------------------------- windows of any size and place


@kernel
def _means(start, stop, x, size, rows, cols, out):
    """Each image row of a window is added to one line, a vector at a time; only that line is walked window by window."""
    n, (h, w), (h_out, w_out) = lanes(x), size, (rows.shape[0], cols.shape[0])
    line = np.empty(w + n, x.dtype)
    for plane in range(start, stop):
        for oy in range(h_out):
            for i in range(0, w, n):
                column = splat(x, x.dtype.type(0))
                for y in range(rows[oy, 0], rows[oy, 1]):
                    column = column + load_part(x, (plane * h + y) * w + i, w - i, 0)
                store(line, i, column)
            for ox in range(w_out):
                row = x.dtype.type(0)
                for i in range(cols[ox, 0], cols[ox, 1]):
                    row += peek(line, i)
                poke(out, (plane * h_out + oy) * w_out + ox, row / x.dtype.type(rows[oy, 2] * cols[ox, 2]))


@kernel
def _shares(start, stop, grad_out, rows, cols, size, turned_rows, turned_cols, grad_input):
    """Spread each row of shares over its pixels; a row of the image then adds the rows of the windows that it is in."""
    n, (h, w), (h_out, w_out) = lanes(grad_out), size, (rows.shape[0], cols.shape[0])
    line, spread = np.empty(w_out, grad_out.dtype), np.empty(h_out * w + n, grad_out.dtype)
    end = stop * h * w
    for plane in range(start, stop):
        for oy in range(h_out):
            for ox in range(w_out):
                count = grad_out.dtype.type(rows[oy, 2] * cols[ox, 2])
                poke(line, ox, peek(grad_out, (plane * h_out + oy) * w_out + ox) / count)
            for i in range(w):
                share = grad_out.dtype.type(0)
                for ox in range(turned_cols[i, 0], turned_cols[i, 1]):
                    share += peek(line, ox)
                poke(spread, oy * w + i, share)
        for y in range(h):
            for i in range(0, w, n):
                share = splat(grad_out, grad_out.dtype.type(0))
                for oy in range(turned_rows[y, 0], turned_rows[y, 1]):
                    share = share + load(spread, oy * w + i)
                at = (plane * h + y) * w + i
                store_part(grad_input, at, end - at, share)


@kernel
def _mean_of_planes(start, stop, x, length, out):
    """One window that is the whole image: n planes at a time, whose n vectors of sums are then added up crosswise."""
    n = lanes(x)
    sums = np.empty(n * n, x.dtype)
    for plane0 in range(start, stop, n):
        planes = min(n, stop - plane0)
        for k in range(planes):
            end = (plane0 + k + 1) * length
            part = load_part(x, end - length % n, length % n, 0)
            at = end - length
            while at + n <= end:
                long = splat(x, x.dtype.type(0))  # sums of sums: a long one would lose digits
                for i in range(at, min(at + 64 * n, end - n + 1), n):
                    long = long + load(x, i)
                part = part + long
                at += 64 * n
            store(sums, k * n, part)
        count = n
        while count > 1:
            count //= 2
            for k in range(count):
                a, b = load(sums, 2 * k * n), load(sums, (2 * k + 1) * n)
                store(sums, k * n, even(a, b) + odd(a, b))
        store_part(out, plane0, planes, load(sums, 0) / splat(x, x.dtype.type(length)))


@kernel
def _fill_planes(start, stop, grad_out, length, grad_input):
    n, end = lanes(grad_out), stop * length
    for plane in range(start, stop):
        share = broadcast(grad_out, plane) / splat(grad_out, grad_out.dtype.type(length))
        at = plane * length
        if at + length + n <= end:
            for i in range(0, length, n):
                store(grad_input, at + i, share)
        else:
            for i in range(0, length, n):
                store_part(grad_input, at + i, end - at - i, share)


def _is_whole(rows, cols, size):
    """Whether the one window is the whole image."""
    return len(rows) == len(cols) == 1 and (rows[0, 2], cols[0, 2]) == tuple(size)


def mean_of_windows(x, rows, cols):
    """Mean of every window: ``rows`` (H_out, 3) and ``cols`` (W_out, 3) hold (first, past the last, count)."""
    n, c, h, w = x.shape
    out = np.empty((n, c, len(rows), len(cols)), x.dtype)
    if _is_whole(rows, cols, (h, w)):
        launch(_mean_of_planes, n * c, x.reshape(-1), h * w, out.reshape(-1), work=h * w / 8)
    else:
        launch(_means, n * c, x.reshape(-1), (h, w), rows, cols, out.reshape(-1), work=h * w)
    return out


def spread_over_windows(grad_out, rows, cols, input_shape):
    """Give each pixel of a window its share of the output's gradient, the transpose of the above."""
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    if _is_whole(rows, cols, (h, w)):
        launch(_fill_planes, n * c, grad_out.reshape(-1), h * w, grad_input.reshape(-1), work=h * w / 8)
    else:
        launch(
            _shares, n * c, grad_out.reshape(-1), rows, cols, (h, w), _turned(rows, h), _turned(cols, w),
            grad_input.reshape(-1), work=h * w,
        )  # fmt: skip
    return grad_input


def _turned(windows, size):
    """First and one-past-last window of each pixel."""
    pixels = np.arange(size)
    return np.column_stack([np.searchsorted(windows[:, edge], pixels, "right") for edge in (1, 0)])


def _with_room(counts):
    return np.concatenate([counts, np.ones(lanes(counts), counts.dtype)])


@lru_cache(256)
def _windows(size, out, kernel, stride, pads, count_include_pad):
    return np.array([pool_window(i, size, kernel, stride, pads, count_include_pad) for i in range(out)])


def avg_pool2d_forward(x, *, kernel, stride, padding, out_hw, count_include_pad):
    """Return the means (N, C, H_out, W_out) of x (N, C, H, W)."""
    n, c, h, w = x.shape
    rows, cols = (_windows(x.shape[2 + a], out_hw[a], kernel[a], stride[a], padding[a], count_include_pad) for a in (0, 1))
    if max(stride) > 2 or kernel[0] * kernel[1] > MOST_TAPS:
        return mean_of_windows(x, rows, cols)
    out = np.empty((n, c, *out_hw), x.dtype)
    launch(
        _forward(kernel, stride, (padding[0][0], padding[1][0])), n * c, x.reshape(-1), (h, w),
        rows[:, 2].astype(x.dtype), _with_room(cols[:, 2].astype(x.dtype)), out.reshape(-1), work=h * w,
    )  # fmt: skip
    return out


def avg_pool2d_grad_input(grad_out, *, input_shape, kernel, stride, padding, count_include_pad):
    """Give each pixel of a window its share of the output's gradient; windows overlap, so add."""
    n, c, *size = input_shape
    rows, cols = (
        _windows(size[a], grad_out.shape[2 + a], kernel[a], stride[a], padding[a], count_include_pad) for a in (0, 1)
    )
    if max(stride) > 2 or kernel[0] * kernel[1] > MOST_TAPS:
        return spread_over_windows(grad_out, rows, cols, input_shape)
    grad_input = np.empty(input_shape, grad_out.dtype)
    launch(
        _grad_input(kernel, stride, (padding[0][0], padding[1][0])), n * c, grad_out.reshape(-1),
        rows[:, 2].astype(grad_out.dtype), _with_room(cols[:, 2].astype(grad_out.dtype)), tuple(size), grad_input.reshape(-1), work=size[0] * size[1],
    )  # fmt: skip
    return grad_input
