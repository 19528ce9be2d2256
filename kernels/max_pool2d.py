"""Maximum over a sliding window, fast. Read reference/max_pool2d.py, then phases.py first."""

from functools import cache

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import deal
from minicnn.kernels.simd import (
    lanes,
    load,
    matches,
    select,
    splat,
    store,
    store_as,
    store_part,
    tuple_setitem,
    zip_high,
    zip_low,
)

BLOCK = 4096  # pixels that a job sorts at a time: they stay in the first-level cache
CHUNK = 256


@cache
def _forward(window, stride, corner, dilation, keep):
    (kh, kw), (sy, sx), (top, left), (dy, dx) = window, stride, corner, dilation
    reach = (kh - 1) * dy // sy

    @kernel
    def run(start, stop, x, size, out_hw, room, out, index):
        n = lanes(x)
        (h, w), (h_out, w_out) = size, out_hw
        border = x.dtype.type(-np.inf)
        pitch = max((w + left - 1) // sx + 1, w_out + (kw - 1) * dx // sx)
        most = min(h_out, max(1, BLOCK // (pitch * sy * sx) - reach))
        planes = max(1, BLOCK // (pitch * sy * sx * (h_out + reach)))
        apart = planes * (most + reach) * pitch + 2 * n
        pixels = np.full(sy * sx * apart, border, x.dtype)
        end, index_end = stop * h_out * w_out, stop * room[0] * room[1]
        first_kx, rest = np.zeros(w_out + n, x.dtype), np.empty(n, x.dtype)
        for ox in range(w_out):
            while first_kx[ox] * dx + ox * sx < left:
                first_kx[ox] += 1
        for plane0 in range(start, stop, planes):
            for oy0 in range(0, h_out, most):
                for plane in range(plane0, min(plane0 + planes, stop)):
                    to = (plane - plane0) * (most + reach) * pitch
                    rows = min(most, h_out - oy0) + reach
                    deal(x, plane * h * w, size, oy0, rows, stride, corner, border, pixels, to, pitch, apart)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    for row in range(min(most, h_out - oy0)):
                        oy, here = oy0 + row, ((plane - plane0) * (most + reach) + row) * pitch
                        at, place = (plane * h_out + oy) * w_out, (plane * room[0] + oy) * room[1]
                        first_ky = 0
                        while oy * sy + first_ky * dy < top:
                            first_ky += 1
                        for ox in range(0, w_out, n):
                            best = load(pixels, here + ox)
                            # A window's first pixel is the maximum until another is larger, even if it is -inf.
                            tap = load(first_kx, ox) + splat(x, x.dtype.type(first_ky * kw))
                            for ky in range(kh):
                                for kx in range(kw):
                                    phase = ky * dy % sy * sx + kx * dx % sx
                                    y, xx = ky * dy // sy, kx * dx // sx
                                    value = load(pixels, phase * apart + y * pitch + xx + here + ox)
                                    # Larger, or the first that is not a number.
                                    wins = ~(value <= best) & (best == best)
                                    best = select(wins, value, best)
                                    if keep:
                                        tap = select(wins, splat(x, x.dtype.type(ky * kw + kx)), tap)
                            store_part(out, at + ox, end - at - ox, best)
                            if keep:
                                if place + ox + n <= index_end:
                                    store_as(index, place + ox, tap)
                                else:
                                    store(rest, 0, tap)
                                    for i in range(w_out - ox):
                                        index[place + ox + i] = int(rest[i])
                        if keep:
                            for i in range(place + w_out, place + room[1]):
                                index[i] = kh * kw
        if keep:
            for plane in range(start, stop):
                for i in range((plane * room[0] + h_out) * room[1], (plane + 1) * room[0] * room[1]):
                    index[i] = kh * kw

    return run


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
                if (
                    first_at <= at <= last_at
                    and first_place <= place <= last_place
                    and to <= last_to
                    and sy <= 2
                    and sx <= 2
                ):
                    last = (width - 1) // (sx * n) * n
                    i = last  # comes first, for it writes beyond its row, into the beginning of the next one
                    for _ in range(0, width, sx * n):
                        sums = (nothing, nothing, nothing, nothing)
                        for ky in range(kh):
                            for kx in range(kw):
                                py, px = (ky * dy - top) % sy, (kx * dx - left) % sx
                                oy, ox = (py + top - ky * dy) // sy, (px + left - kx * dx) // sx
                                here = matches(
                                    nothing, index, place + oy * w_room + ox + i, index.dtype.type(ky * kw + kx)
                                )
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
        _forward(kernel, stride, corner, dilation, keep), n * c, x.reshape(-1), (h, w), out_hw, room, out.reshape(-1),
        index.reshape(-1), work=out_hw[0] * out_hw[1] * kernel[0] * kernel[1] / 2,
    )  # fmt: skip
    return out, index


def max_pool2d_grad_input(grad_out, index, *, input_shape, kernel, stride, padding, dilation):
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    launch(
        _grad_input(kernel, stride, (padding[0][0], padding[1][0]), dilation),
        n * c,
        grad_out.reshape(-1),
        index.reshape(-1),
        (h, w),
        grad_out.shape[2:],
        index.shape[2:],
        grad_input.reshape(-1),
        work=h * w,
    )
    return grad_input
