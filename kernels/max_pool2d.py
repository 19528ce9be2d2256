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
        n, end = lanes(grad_input), stop * size[0] * size[1]
        nothing = splat(grad_input, grad_input.dtype.type(0))
        (h, w), (h_out, w_out), (_, w_room) = size, out_hw, room
        lines, width = -(-h // sy), w
        flat = sy == 1 and sx == 1 and h == h_out and w == w_out
        if flat:
            lines, width = -(-h * w // CHUNK), CHUNK
        # Where whole vectors, and all that they look at, are inside the arrays: everywhere but at their ends.
        first_at, first_place = back[0] * w_out + back[1], back[0] * w_room + back[1]
        last_at = grad_out.size - ahead[0] * w_out - ahead[1] - width - n
        last_place = index.size - ahead[0] * w_room - ahead[1] - width - n
        last_to = end - sy * width - 2 * n
        for plane in range(start, stop):
            to, place, at = plane * h * w, plane * room[0] * w_room, plane * h_out * w_out
            for line in range(lines):
                if flat:
                    width = min(CHUNK, h * w - line * CHUNK)
                if first_at <= at <= last_at and first_place <= place <= last_place and to <= last_to and sy * sx <= 4:
                    last = (width - 1) // (sx * n) * n
                    i = last  # comes first, for it writes beyond its row, into the beginning of the next one
                    for _ in range(0, width, sx * n):
                        sums = (nothing, nothing, nothing, nothing)
                        for ky in range(kh):
                            for kx in range(kw):
                                py, px = (ky * dy - top) % sy, (kx * dx - left) % sx
                                oy, ox = (py + top - ky * dy) // sy, (px + left - kx * dx) // sx
                                here = matches(nothing, index, place + oy * w_room + ox + i, index.dtype.type(ky * kw + kx))
                                share = select(here, load(grad_out, at + oy * w_out + ox + i), nothing)
                                sums = tuple_setitem(sums, py * 2 + px, sums[py * 2 + px] + share)
                        for py in range(sy):
                            if sx == 1:
                                store(grad_input, to + py * w + i, sums[2 * py])
                            else:
                                store(grad_input, to + py * w + 2 * i, zip_low(sums[2 * py], sums[2 * py + 1]))
                                store(grad_input, to + py * w + 2 * i + n, zip_high(sums[2 * py], sums[2 * py + 1]))
                        i = i + n if i < last else 0
                else:
                    for y in range(1 if flat else min(sy, h - line * sy)):
                        for i in range(width):
                            total = grad_input.dtype.type(0)
                            for ky in range(kh):
                                for kx in range(kw):
                                    if (y + top - ky * dy) % sy == 0 and (i + left - kx * dx) % sx == 0:
                                        oy, ox = (y + top - ky * dy) // sy, (i + left - kx * dx) // sx
                                        p = place + oy * w_room + ox
                                        if 0 <= p < index.size and index[p] == ky * kw + kx:
                                            total += grad_out[at + oy * w_out + ox]
                            grad_input[to + y * w + i] = total
                if flat:
                    to, place, at = to + CHUNK, place + CHUNK, at + CHUNK
                else:
                    to, place, at = to + sy * w, place + w_room, at + w_out

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
