"""Maximum over a sliding window, fast. Read reference/max_pool2d.py, then phases.py first.

Measured on an EPYC with AVX2, float32, one thread, beside PyTorch 2.13, batch 4: forward 2.5 to 20 times as fast, gradient
1.1 (13 x 13 maps, all in the cache) to 3.3 times (224 x 224).

- A row of windows at a time, whole vectors: ``phases.deal`` makes every tap of them a stretch of memory, with minus infinity
  around the image, so that neither strides nor edges slow the loop.
- Window, stride, padding and dilation are constants of the compiled code: a function is made for each, and the compiler spells
  the taps out. 1.6 times as fast as loops over a table of taps, and 2.5 times for the gradient.
- The gradient needs to know which tap won, one byte per output; without a gradient that is not worked out at all.
- The gradient is gathered: a pixel asks the few windows that it is in whether they chose it, and is written once. Scattering (zeros,
  then ``+=`` at each maximum) is what PyTorch does, as fast as PyTorch: it took 1.5 to 2.5 times as long.
- Nobody asks whether a window exists. A window beyond the end of a row is, in memory, the first of the next one. To have
  chosen this pixel it would have to have chosen a tap outside of the image, and none ever does.
- Vectors at the end of a row are stored whole; the next row writes over what is too much. Where rows are stored in pairs
  (stride 2) the last vector therefore comes first. Masked stores took 10 times as long on this machine.

A job is one image plane.
"""

from functools import cache

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import deal, held_rows
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

RUN = 256  # pixels of a run where windows lie as the pixels do, so that rows need not be told apart


@cache
def _forward(window, stride, corner, dilation, keep_index):
    (kh, kw), (sy, sx), (top, left), (dy, dx) = window, stride, corner, dilation
    reach = (kh - 1) * dy // sy  # further rows of a phase that a row of windows looks at

    @kernel
    def run(start, stop, x, size, out_hw, room, out, index):
        n, end, index_end = lanes(x), stop * out_hw[0] * out_hw[1], stop * room[0] * room[1]
        (h, w), (h_out, w_out) = size, out_hw
        border, nowhere = x.dtype.type(-np.inf), kh * kw
        pitch = max((w + left - 1) // sx + 1, w_out + (kw - 1) * dx // sx)
        rows, planes = held_rows(h_out, reach, pitch * sy * sx)
        apart = planes * (rows + reach) * pitch + 2 * n
        pixels = np.full(sy * sx * apart, border, x.dtype)
        first_kx, rest = np.zeros(w_out + n, x.dtype), np.empty(n, x.dtype)
        for ox in range(w_out):
            while first_kx[ox] * dx + ox * sx < left:
                first_kx[ox] += 1
        for plane0 in range(start, stop, planes):
            for oy0 in range(0, h_out, rows):
                here = min(rows, h_out - oy0)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    to = (plane - plane0) * (rows + reach) * pitch
                    deal(x, plane * h * w, size, oy0, here + reach, stride, corner, border, pixels, to, pitch, apart)
                for plane in range(plane0, min(plane0 + planes, stop)):
                    for oy in range(oy0, oy0 + here):
                        at = ((plane - plane0) * (rows + reach) + oy - oy0) * pitch
                        to, place = (plane * h_out + oy) * w_out, (plane * room[0] + oy) * room[1]
                        first_ky = 0
                        while oy * sy + first_ky * dy < top:
                            first_ky += 1
                        for ox in range(0, w_out, n):
                            # A window's first pixel is its maximum until another is larger, even if it is -inf.
                            best = load(pixels, at + ox)
                            tap = load(first_kx, ox) + x.dtype.type(first_ky * kw)
                            for ky in range(kh):
                                for kx in range(kw):
                                    tap_at = (ky * dy % sy * sx + kx * dx % sx) * apart
                                    tap_at += ky * dy // sy * pitch + kx * dx // sx
                                    value = load(pixels, tap_at + at + ox)
                                    wins = ~(value <= best) & (best == best)  # larger, or the first that is NaN
                                    best = select(wins, value, best)
                                    if keep_index:
                                        tap = select(wins, splat(x, x.dtype.type(ky * kw + kx)), tap)
                            store_part(out, to + ox, end - to - ox, best)
                            if keep_index:
                                if place + ox + n <= index_end:
                                    store_as(index, place + ox, tap)
                                else:
                                    store(rest, 0, tap)
                                    for i in range(w_out - ox):
                                        index[place + ox + i] = int(rest[i])
                        if keep_index:
                            for i in range(place + w_out, place + room[1]):
                                index[i] = nowhere
        if keep_index:
            for plane in range(start, stop):
                for i in range((plane * room[0] + h_out) * room[1], (plane + 1) * room[0] * room[1]):
                    index[i] = nowhere

    return run


@cache
def _grad_input(window, stride, corner, dilation):
    (kh, kw), (sy, sx), (top, left), (dy, dx) = window, stride, corner, dilation
    by_vectors = sy <= 2 and sx <= 2
    # How many windows before and after its own, along each axis, a pixel may ask.
    back = -((top - (kh - 1) * dy) // sy), -((left - (kw - 1) * dx) // sx)
    ahead = (sy - 1 + top) // sy, (sx - 1 + left) // sx

    @kernel
    def run(start, stop, grad_out, index, size, out_hw, room, grad_input):
        n, end = lanes(grad_input), stop * size[0] * size[1]
        nothing = splat(grad_input, grad_input.dtype.type(0))
        (h, w), (h_out, w_out), (h_room, w_room) = size, out_hw, room
        as_pixels = stride == (1, 1) and out_hw == size
        lines, width, step = -(-h // sy), w, (sy * w, w_room, w_out)
        if as_pixels:
            lines, width, step = -(-h * w // RUN), min(RUN, h * w), (RUN, RUN, RUN)
        # Between these, whole vectors and all that they ask for are inside the arrays: everywhere but at their ends.
        first_place, last_place = back[0] * w_room + back[1], index.size - ahead[0] * w_room - ahead[1] - width - n
        first_at, last_at = back[0] * w_out + back[1], grad_out.size - ahead[0] * w_out - ahead[1] - width - n
        last_to = end - sy * width - 2 * n
        for plane in range(start, stop):
            to, place, at = plane * h * w, plane * h_room * w_room, plane * h_out * w_out
            for line in range(lines):
                if as_pixels:
                    width = min(RUN, h * w - line * RUN)
                inside = first_place <= place <= last_place and first_at <= at <= last_at and to <= last_to
                if by_vectors and inside:
                    last = (width - 1) // (sx * n) * n
                    i = last  # comes first, for it writes beyond its row, into the beginning of the next one
                    for _ in range(0, width, sx * n):
                        sums = (nothing, nothing, nothing, nothing)
                        for ky in range(kh):
                            for kx in range(kw):
                                y, x = (ky * dy - top) % sy, (kx * dx - left) % sx
                                oy, ox = (y + top - ky * dy) // sy, (x + left - kx * dx) // sx
                                tap = index.dtype.type(ky * kw + kx)
                                chosen = matches(nothing, index, place + oy * w_room + ox + i, tap)
                                share = select(chosen, load(grad_out, at + oy * w_out + ox + i), nothing)
                                sums = tuple_setitem(sums, y * 2 + x, sums[y * 2 + x] + share)
                        for y in range(sy):
                            if sx == 1:
                                store(grad_input, to + y * w + i, sums[2 * y])
                            else:
                                store(grad_input, to + y * w + 2 * i, zip_low(sums[2 * y], sums[2 * y + 1]))
                                store(grad_input, to + y * w + 2 * i + n, zip_high(sums[2 * y], sums[2 * y + 1]))
                        i = i + n if i < last else 0
                else:
                    for y in range(1 if as_pixels else min(sy, h - line * sy)):
                        for x in range(width):
                            total = grad_input.dtype.type(0)
                            for ky in range(kh):
                                for kx in range(kw):
                                    if (y + top - ky * dy) % sy == 0 and (x + left - kx * dx) % sx == 0:
                                        oy, ox = (y + top - ky * dy) // sy, (x + left - kx * dx) // sx
                                        asked = place + oy * w_room + ox
                                        if 0 <= asked < index.size and index[asked] == ky * kw + kx:
                                            total += grad_out[at + oy * w_out + ox]
                            grad_input[to + y * w + x] = total
                to, place, at = to + step[0], place + step[1], at + step[2]

    return run


def max_pool2d_forward(x, *, kernel, stride, padding, dilation, out_hw, keep_index):
    """Return the maxima and, if the index is kept, for each the number of its tap, ky * KW + kx.

    The index has room for a window per step of the image, so that every pixel may ask; those that do not exist hold KH * KW.
    """
    n, c, h, w = x.shape
    out = np.empty((n, c, *out_hw), x.dtype)
    room = tuple(max(out_hw[a], -(-x.shape[2 + a] // stride[a])) for a in (0, 1))
    counts = np.uint8 if (kernel[0] + 1) * kernel[1] <= 256 else np.int32
    index = np.empty((n, c, *room) if keep_index else 0, counts)
    launch(
        _forward(kernel, stride, (padding[0][0], padding[1][0]), dilation, keep_index), n * c, x.reshape(-1), (h, w),
        out_hw, room, out.reshape(-1), index.reshape(-1), work=out_hw[0] * out_hw[1] * kernel[0] * kernel[1] / 4,
    )  # fmt: skip
    return out, index


def max_pool2d_grad_input(grad_out, index, *, input_shape, kernel, stride, padding, dilation):
    """Give each output's gradient to the pixel that was its maximum; windows overlap, so add."""
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    launch(
        _grad_input(kernel, stride, (padding[0][0], padding[1][0]), dilation), n * c, grad_out.reshape(-1),
        index.reshape(-1), (h, w), grad_out.shape[2:], index.shape[2:], grad_input.reshape(-1), work=h * w / 2,
    )  # fmt: skip
    return grad_input
