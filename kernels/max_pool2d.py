"""Maximum over a sliding window, fast. Read reference/max_pool2d.py, then phases.py first.
"""

from functools import cache

import numpy as np

from minicnn.kernels.geometry import span
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import collect, deal
from minicnn.kernels.simd import broadcast, lanes, load, matches, peek, poke, select, splat, store, store_as, tuple_setitem, zip_high, zip_low

CHUNK = 256
BLOCK = 512  # outputs at a time: with the pixels they look at, they stay in the first-level cache


@kernel
def _forward(start, stop, x, size, kernel, stride, corner, dilation, out_hw, room, out, index):
    n, keep = lanes(x), index.size > 0
    (h, w), (kh, kw), (h_out, w_out) = size, kernel, out_hw
    border = x.dtype.type(-np.inf)
    end = stop * h_out * w_out
    # Pixel (y, x) of the padded image is at (y // stride, x // stride) of one of the phases.
    pitch = max((w + corner[1] - 1) // stride[1] + 1, w_out + (kw - 1) * dilation[1] // stride[1])
    reach = (kh - 1) * dilation[0] // stride[0]
    most = min(h_out, max(1, BLOCK // pitch))
    apart = (most + reach) * pitch + 4 * n
    pixels = np.full(stride[0] * stride[1] * apart, border, x.dtype)
    best, tap = np.empty(most * pitch + 4 * n, x.dtype), np.empty(most * pitch + 4 * n, x.dtype)
    offsets, numbers = np.empty(kh * kw, np.int64), np.empty(kh * kw, x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            y, xx = ky * dilation[0], kx * dilation[1]
            numbers[ky * kw + kx] = ky * kw + kx
            offsets[ky * kw + kx] = (
                (y % stride[0] * stride[1] + xx % stride[1]) * apart + y // stride[0] * pitch + xx // stride[1]
            )
    first_kx = np.zeros(w_out + n, x.dtype)
    for ox in range(w_out):
        while first_kx[ox] * dilation[1] + ox * stride[1] < corner[1]:
            first_kx[ox] += 1
    for plane in range(start, stop):
        for oy0 in range(0, h_out, most):
            rows = min(most, h_out - oy0)
            deal(
                x, plane * h * w, size, oy0, rows + reach, stride, corner, border, pixels, pitch, apart
            )
            if keep:
                for row in range(rows):
                    ky = 0
                    while ky * dilation[0] + (oy0 + row) * stride[0] < corner[0]:
                        ky += 1
                    for ox in range(0, w_out, n):
                        store(tap, row * pitch + ox, load(first_kx, ox) + splat(x, x.dtype.type(ky * kw)))
            for q in range(0, rows * pitch, 2 * n):
                a, b, tap_a, tap_b = load(pixels, q), load(pixels, q + n), load(tap, q), load(tap, q + n)
                for e in range(1, kh * kw):
                    at, number = peek(offsets, e) + q, broadcast(numbers, e)
                    value = load(pixels, at)
                    wins = ~(value <= a) & (a == a)
                    a, tap_a = select(wins, value, a), select(wins, number, tap_a)
                    value = load(pixels, at + n)
                    wins = ~(value <= b) & (b == b)
                    b, tap_b = select(wins, value, b), select(wins, number, tap_b)
                store(best, q, a)
                store(best, q + n, b)
                store(tap, q, tap_a)
                store(tap, q + n, tap_b)
            collect(best, pitch, 0, oy0, rows, (1, 1), (0, 0), out, plane * h_out * w_out, out_hw, end)
            if keep:
                for row in range(rows):
                    to = (plane * room[0] + oy0 + row) * room[1]
                    for ox in range(0, w_out, n):
                        if to + ox + n <= stop * room[0] * room[1]:
                            store_as(index, to + ox, load(tap, row * pitch + ox))
                        else:
                            for i in range(ox, w_out):
                                index[to + i] = int(tap[row * pitch + i])
                    for i in range(w_out, room[1]):
                        index[to + i] = kh * kw
        if keep:
            for i in range((plane * room[0] + h_out) * room[1], (plane + 1) * room[0] * room[1]):
                index[i] = kh * kw


@cache
def _grad_input(kernel_size, stride, corner, dilation):
    (kh, kw), (sy, sx), (top, left), (dy, dx) = kernel_size, stride, corner, dilation
    back = -((top - (kh - 1) * dy) // sy), -((left - (kw - 1) * dx) // sx)
    ahead = (sy - 1 + top) // sy, (sx - 1 + left) // sx

    @kernel
    def run(start, stop, grad_out, index, size, out_hw, room, grad_input):
        n = lanes(grad_input)
        nothing, end = splat(grad_input, grad_input.dtype.type(0)), stop * size[0] * size[1]
        (h, w), (h_out, w_out) = size, out_hw
        flat = sy == 1 and sx == 1 and h == h_out and w == w_out
        lines = -(-h // sy)
        if flat:
            lines = -(-h * w // CHUNK)
            
        for plane in range(start, stop):
            for line in range(lines):
                if flat:
                    g_at = plane * h * w + line * CHUNK
                    i_at = g_at
                    width = min(CHUNK, h * w - line * CHUNK)
                else:
                    g_at, i_at = (plane * h_out + line) * w_out, (plane * room[0] + line) * room[1]
                    width = w
                inside = sx <= 2 and (
                    g_at - back[0] * w_out - back[1] >= 0
                    and i_at - back[0] * room[1] - back[1] >= 0
                    and g_at + ahead[0] * w_out + ahead[1] + width + 2 * n <= grad_out.size
                    and i_at + ahead[0] * room[1] + ahead[1] + width + 2 * n <= index.size
                )
                for py in range(sy):
                    if flat:
                        to = g_at
                    else:
                        y = line * sy + py
                        if y >= h:
                            break
                        to = (plane * h + y) * w
                    if inside and to + width + 2 * n <= end:
                        for i in range(0, width, sx * n):
                            sums = (nothing, nothing)
                            for px in range(sx):
                                for ky in range(kh):
                                    for kx in range(kw):
                                        if (py + top - ky * dy) % sy == 0 and (px + left - kx * dx) % sx == 0:
                                            oy, ox = (py + top - ky * dy) // sy, i // sx + (px + left - kx * dx) // sx
                                            here = matches(nothing, index, i_at + oy * room[1] + ox, index.dtype.type(ky * kw + kx))
                                            share = select(here, load(grad_out, g_at + oy * w_out + ox), nothing)
                                            sums = tuple_setitem(sums, px, sums[px] + share)
                            if sx == 1:
                                store(grad_input, to + i, sums[0])
                            else:
                                store(grad_input, to + i, zip_low(sums[0], sums[1]))
                                store(grad_input, to + i + n, zip_high(sums[0], sums[1]))
                    else:
                        for i in range(width):
                            total = grad_input.dtype.type(0)
                            for ky in range(kh):
                                for kx in range(kw):
                                    if (py + top - ky * dy) % sy == 0 and (i + left - kx * dx) % sx == 0:
                                        oy, ox = (py + top - ky * dy) // sy, (i + left - kx * dx) // sx
                                        place = i_at + oy * room[1] + ox
                                        if 0 <= place < index.size and index[place] == ky * kw + kx:
                                            total += grad_out[g_at + oy * w_out + ox]
                            grad_input[to + i] = total
    return run


def _room(size, out_hw, stride):
    return max(out_hw[0], -(-size[0] // stride[0])), max(out_hw[1], -(-size[1] // stride[1]))


def max_pool2d_forward(x, *, kernel, stride, padding, dilation, out_hw, keep=True):
    """Return the maxima and, for each, where it was found."""
    n, c, h, w = x.shape
    out = np.empty((n, c, *out_hw), x.dtype)
    room = _room((h, w), out_hw, stride)
    index = np.empty((n, c, *room) if keep else 0, np.uint8 if (kernel[0] + 1) * kernel[1] <= 256 else np.int32)
    corner = (padding[0][0], padding[1][0])
    launch(
        _forward, n * c, x.reshape(-1), (h, w), kernel, stride, corner, dilation, out_hw, room, out.reshape(-1),
        index.reshape(-1), work=out_hw[0] * out_hw[1] * kernel[0] * kernel[1] / 2,
    )  # fmt: skip
    return out, index


def max_pool2d_grad_input(grad_out, index, *, input_shape, kernel, stride, padding, dilation):
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    launch(
        _grad_input(kernel, stride, (padding[0][0], padding[1][0]), dilation), n * c, grad_out.reshape(-1), index.reshape(-1), (h, w), grad_out.shape[2:], index.shape[2:], grad_input.reshape(-1), work=h * w
    )
    return grad_input
