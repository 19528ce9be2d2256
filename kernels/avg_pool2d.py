"""Mean over a sliding window, fast. Read reference/avg_pool2d.py, then max_pool2d.py first."""

from functools import cache, lru_cache

import numpy as np

from minicnn.kernels.geometry import pool_window
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import deal, held_rows
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
        most, planes = held_rows(h_out, reach, pitch * sy * sx)
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
        most, planes = held_rows(lines, back + ahead, pitch)
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
def _shares(start, stop, grad_out, rows, cols, size, turned, grad_input):
    """Spread each row of shares over its pixels; a row of the image then adds the rows of the windows that it is in."""
    n, (h, w), (h_out, w_out) = lanes(grad_out), size, (rows.size // 3, cols.size // 3)
    spread, end = np.zeros(h_out * w + n, grad_out.dtype), stop * h * w
    zero = grad_out.dtype.type(0)
    for plane in range(start, stop):
        for oy in range(h_out):
            for i in range(oy * w, oy * w + w):
                poke(spread, i, zero)
            for ox in range(w_out):
                count = grad_out.dtype.type(peek(rows, 3 * oy + 2) * peek(cols, 3 * ox + 2))
                share = peek(grad_out, (plane * h_out + oy) * w_out + ox) / count
                for i in range(oy * w + peek(cols, 3 * ox), oy * w + peek(cols, 3 * ox + 1)):
                    poke(spread, i, peek(spread, i) + share)
        for y in range(h):
            oy0, oy1 = peek(turned, 2 * y), peek(turned, 2 * y + 1)
            for i in range(0, w, n):
                share = splat(grad_out, zero)
                for oy in range(oy0, oy1):
                    share = share + load(spread, oy * w + i)
                at = (plane * h + y) * w + i
                store_part(grad_input, at, end - at, share)


@kernel
def _mean_of_planes(start, stop, x, length, out):
    """One window that is the whole image: two planes at a time, and the vectors of sums of n planes are added crosswise."""
    n = lanes(x)
    sums, rest = np.empty(n * n, x.dtype), length % n
    for plane in range(start, stop, n):
        for k in range(0, n, 2):  # beyond the last plane, that one again
            at, other = min(plane + k, stop - 1) * length, min(plane + k + 1, stop - 1) * length
            a = load_part(x, at + length - rest, rest, 0)
            b = load_part(x, other + length - rest, rest, 0)
            for i in range(0, length - rest, n):
                a, b = a + load(x, at + i), b + load(x, other + i)
            store(sums, k * n, a)
            store(sums, k * n + n, b)
        count = n
        while count > 1:
            count //= 2
            for k in range(count):
                a, b = load(sums, 2 * k * n), load(sums, (2 * k + 1) * n)
                store(sums, k * n, even(a, b) + odd(a, b))
        store_part(out, plane, stop - plane, load(sums, 0) / splat(x, x.dtype.type(length)))


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
        launch(_means, n * c, x.reshape(-1), (h, w), rows.reshape(-1), cols.reshape(-1), out.reshape(-1), work=h * w)
    return out


def spread_over_windows(grad_out, rows, cols, input_shape):
    """Give each pixel of a window its share of the output's gradient, the transpose of the above."""
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    if _is_whole(rows, cols, (h, w)):
        launch(_fill_planes, n * c, grad_out.reshape(-1), h * w, grad_input.reshape(-1), work=h * w / 8)
    else:
        # First and one-past-last window of each row of pixels.
        turned = np.column_stack([np.searchsorted(rows[:, edge], np.arange(h), "right") for edge in (1, 0)])
        launch(
            _shares, n * c, grad_out.reshape(-1), rows.reshape(-1), cols.reshape(-1), (h, w), turned.reshape(-1),
            grad_input.reshape(-1), work=h * w,
        )  # fmt: skip
    return grad_input


def _with_room(counts):
    return np.concatenate([counts, np.ones(lanes(counts), counts.dtype)])


@lru_cache(256)
def _windows(size, out, kernel, stride, pads, count_include_pad):
    return np.array([pool_window(i, size, kernel, stride, pads, count_include_pad) for i in range(out)])


def avg_pool2d_forward(x, *, kernel, stride, padding, out_hw, count_include_pad):
    """Return the means (N, C, H_out, W_out) of x (N, C, H, W)."""
    n, c, h, w = x.shape
    rows, cols = (
        _windows(x.shape[2 + a], out_hw[a], kernel[a], stride[a], padding[a], count_include_pad) for a in (0, 1)
    )
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
