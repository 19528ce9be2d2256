"""Depthwise convolution, fast. Read reference/depthwise_conv2d.py first.

Nothing is summed over channels, so there is no matrix product to gain from: 9 multiplications for each pixel that
comes from memory. All that counts is to run along the pixels in whole vectors, whatever the padding, the stride and the
width of the map:

- An image is first laid out as one ``line``: its rows, with the zeros of the padding, one behind the other, ``pitch``
  apart. A tap of the filter then is one number, its ``offset`` along the line, for every pixel:
  out[q] = sum over taps of weight[tap] * line[q + offset[tap]]. No borders, no branches, and rows of 7 pixels keep all
  lanes busy as rows of 112 do. What is computed at the seams of the rows is thrown away.
- A stride of s deals the pixels out to s x s lines (the ``phases``): row y, column x to the line (y % s, x % s). On
  these lines all taps step by 1 again; a tap merely knows its line. Two shuffles deal out two vectors.
- The gradient of the input is the same walk with source and target exchanged: grad_out is laid out as one line, each
  of the s x s phases of grad_input is a sum over its own taps, and the phases are zipped together.
- The gradient of the weight walks along both lines and keeps nine sums, one a tap, in registers.
- The lines hold a ``band`` of rows of one image plane, so that they stay in the first-level cache.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.kernels.conv2d import CHUNKS, conv2d_grad_bias, inside
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    VECTOR_BYTES, broadcast, even, fma, lanes, load, load_some, odd, peek, poke, splat, store, tuple_setitem, zip_high, zip_low,
)  # fmt: skip

TAPS = 9  # of a 3 x 3 filter, which stay in registers
STRIP = 7  # rows that a single tap is multiplied with at a time
LINE = 3072  # numbers in a line: 12 KB of float32


@kernel
def _lay(x, at, apart, planes, size, corner, step, row, rows, pitch, line, phase):
    """Deal planes of x out to lines, ``rows`` rows of each from row ``row`` on, with zeros around the image.

    Plane p starts at ``x[at + p * apart]``; its lines are step[0] x step[1] phases of ``phase`` numbers.
    """
    n = lanes(x)
    zero = splat(x, 0)
    h, w = size
    first, skipped = max(corner[1], 0), max(-corner[1], 0)  # a negative corner cuts pixels off
    count = max(0, min(w - skipped, pitch * step[1] - first))
    for p in range(planes):
        for parity in range(step[0]):
            y = row * step[0] + parity - corner[0]
            top, bottom = inside(y, step[0], rows, h)
            base = (p * step[0] + parity) * step[1] * phase
            for k in range(base, base + step[1] * phase, phase):
                for q in range(k, k + top * pitch, n):
                    store(line, q, zero)
                for q in range(k + bottom * pitch, k + rows * pitch, n):
                    store(line, q, zero)
            here = at + p * apart + (y + top * step[0]) * w + skipped
            there = base + top * pitch
            # A whole vector at the end of a row puts zeros on the seam, and on what the next row writes later.
            for _ in range(top, bottom):
                if step[1] == 1:
                    whole = count // n * n
                    for i in range(0, whole, n):
                        store(line, there + first + i, load(x, here + i))
                    store(line, there + first + whole, load_some(x, here + whole, count - whole))
                elif step[1] == 2:
                    to_even, to_odd = there + (first + 1) // 2, there + first // 2 + phase
                    if first % 2:
                        to_even, to_odd = to_odd, to_even
                    for i in range(0, count, 2 * n):
                        a, b = load_some(x, here + i, count - i), load_some(x, here + i + n, count - i - n)
                        store(line, to_even + i // 2, even(a, b))
                        store(line, to_odd + i // 2, odd(a, b))
                else:
                    for i in range(count):
                        poke(line, there + (first + i) % step[1] * phase + (first + i) // step[1], peek(x, here + i))
                here += step[0] * w
                there += pitch


@kernel
def _three(line, at, a, b, c, total):
    return fma(c, load(line, at + 2), fma(b, load(line, at + 1), fma(a, load(line, at), total)))


@kernel
def _slide_square(line, line_size, pitch, weight, filter_at, apart, taps, bias, add, planes, size, out, at, out_size, width):
    """Sum over a dense 3 x 3 filter, four rows by one vector at a time, so that a row is loaded for three sums at once."""
    n = lanes(out)
    rows, columns = size
    for p in range(planes):
        filter_at %= weight.size
        s = splat(out, bias[filter_at // apart])
        w = (
            broadcast(weight, filter_at + taps[1]), broadcast(weight, filter_at + taps[3]), broadcast(weight, filter_at + taps[5]),
            broadcast(weight, filter_at + taps[7]), broadcast(weight, filter_at + taps[9]), broadcast(weight, filter_at + taps[11]),
            broadcast(weight, filter_at + taps[13]), broadcast(weight, filter_at + taps[15]), broadcast(weight, filter_at + taps[17]),
        )
        for r in range(0, rows, 4):
            r = min(r, rows - 4)
            for c in range(0, columns, n):
                c = max(0, min(c, columns - n))
                here, there = p * line_size + r * pitch + c, at + p * out_size + r * width + c
                sums = (s, s, s, s)
                if add:
                    for i in range(4):
                        sums = tuple_setitem(sums, i, load(out, there + i * width))
                for i in range(4):
                    second = here + pitch
                    total = _three(line, here, w[0], w[1], w[2], sums[i])
                    total = _three(line, second, w[3], w[4], w[5], total)
                    total = _three(line, second + pitch, w[6], w[7], w[8], total)
                    sums = tuple_setitem(sums, i, total)
                    here = second
                for i in range(4):
                    store(out, there + i * width, sums[i])
        filter_at += apart


@kernel
def _slide(
    line, line_size, pitch, weight, filter_at, apart, taps, ends, bias, add, planes, size, out, at, phase, width
):
    """Sum over the taps for every phase of ``out``, STRIP rows by one vector at a time."""
    n = lanes(out)
    rows, columns = size
    for p in range(planes):
        filter_at %= weight.size
        s = splat(out, bias[filter_at // apart])
        for f in range(ends.size - 1):
            for r in range(0, rows, STRIP):
                r = min(r, rows - STRIP)
                for c in range(0, columns, n):
                    c = max(0, min(c, columns - n))
                    here, there = p * line_size + r * pitch + c, at + (p * (ends.size - 1) + f) * phase + r * width + c
                    sums = (s, s, s, s, s, s, s)
                    if add:
                        for i in range(STRIP):
                            sums = tuple_setitem(sums, i, load(out, there + i * width))
                    for t in range(ends[f], ends[f + 1]):
                        q, tap = here + peek(taps, 2 * t), broadcast(weight, filter_at + peek(taps, 2 * t + 1))
                        for i in range(STRIP):
                            sums = tuple_setitem(sums, i, fma(tap, load(line, q + i * pitch), sums[i]))
                    for i in range(STRIP):
                        store(out, there + i * width, sums[i])
        filter_at += apart


@kernel
def _pick(line, phase, pitch, step, row, rows, planes, size, out, at, stop):
    """Zip the rows of the lines into planes from ``out[at]`` on. Whole vectors may run over, up to ``out[stop]``."""
    n = lanes(out)
    h, w = size
    for p in range(planes):
        for r in range(rows):
            for parity in range(min(step[0], h - (row + r) * step[0])):
                there = (p * step[0] + parity) * step[1] * phase + r * pitch
                here = at + (p * h + (row + r) * step[0] + parity) * w
                done = 0
                # What a whole vector writes behind the end of a row is written again by the next row.
                if step[1] == 1:
                    done = min((w + n - 1) // n, (stop - here) // n) * n
                    for i in range(0, done, n):
                        store(out, here + i, load(line, there + i))
                elif step[1] == 2:
                    done = min((w + 2 * n - 1) // (2 * n), (stop - here) // (2 * n)) * 2 * n
                    for i in range(0, done, 2 * n):
                        a, b = load(line, there + i // 2), load(line, there + phase + i // 2)
                        store(out, here + i, zip_low(a, b))
                        store(out, here + i + n, zip_high(a, b))
                for i in range(done, w):
                    poke(out, here + i, peek(line, there + i % step[1] * phase + i // step[1]))


@kernel
def _correlate(start, stop, x, weight, bias, shared, sources, plan, square, taps, ends, out):
    """Job: one plane of ``out``, the sum over ``sources`` planes of x, each with a filter of its own.

    ``shared`` planes of ``out`` in a row have the same source. One of the two numbers is 1.
    """
    size, out_size, corner, split, zipped, reach, pitch, width, band, together = plan
    area, out_area, filter_size = size[0] * size[1], out_size[0] * out_size[1], weight.size // (bias.size * sources)
    height = (out_size[0] + zipped[0] - 1) // zipped[0]
    n = lanes(out)
    strips = max(band, STRIP)
    phase, result_phase = (strips + reach) * pitch + n, strips * width
    line_size = split[0] * split[1] * phase
    line = np.zeros(together * line_size, out.dtype)
    result = np.empty(together * zipped[0] * zipped[1] * result_phase, out.dtype)
    plain = zipped[0] * zipped[1] == 1 and band >= STRIP
    plane = start
    while plane < stop:
        planes = min(together, stop - plane) if shared == 1 else 1
        direct = plain and (out_size[1] >= n or plane + planes < stop)
        if plain and not direct and planes > 1:
            direct, planes = True, planes - 1
        for row in range(0, height, band):
            row = min(row, height - band)
            for i in range(sources):
                _lay(
                    x, (plane // shared * sources + i) * area, sources * area, planes, size, corner, split, row,
                    band + reach, pitch, line, phase,
                )  # fmt: skip
                filter_at, apart = (plane * sources + i) * filter_size, sources * filter_size
                if direct:
                    at = plane * out_area + row * out_size[1]
                    if square:
                        _slide_square(line, line_size, pitch, weight, filter_at, apart, taps, bias, i > 0, planes, (band, out_size[1]), out, at, out_area, out_size[1])
                    else:
                        _slide(line, line_size, pitch, weight, filter_at, apart, taps, ends, bias, i > 0, planes, (band, out_size[1]), out, at, out_area, out_size[1])
                else:
                    _slide(line, line_size, pitch, weight, filter_at, apart, taps, ends, bias, i > 0, planes, (strips, width), result, 0, result_phase, width)
            if not direct:
                _pick(
                    result, result_phase, width, zipped, row, band, planes, out_size, out, plane * out_area,
                    stop * out_area,
                )  # fmt: skip
        plane += planes


@kernel
def _weigh(line, line_size, pitch, rows, planes, grad_out, at, size, taps, sums):
    """Add to the sums of each tap, a vector for each, its products along the rows of ``line`` and of ``grad_out``."""
    n = lanes(sums)
    w = size[1]
    tap_count = taps.size // 2
    whole = w // n * n
    for p in range(planes):
        for t in range(0, tap_count - TAPS + 1, TAPS):
            there = p * tap_count * n + t * n
            zero = splat(sums, 0)
            s = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
            base = p * line_size
            places = (base, base, base, base, base, base, base, base, base)
            for i in range(TAPS):
                places = tuple_setitem(places, i, base + peek(taps, 2 * (t + i)))
            here = at + p * size[0] * size[1]
            for r in range(rows):
                for c in range(0, whole, n):
                    g = load(grad_out, here + c)
                    for i in range(TAPS):
                        s = tuple_setitem(s, i, fma(g, load(line, places[i] + c), s[i]))
                if whole < w:
                    g = load_some(grad_out, here + whole, w - whole)
                    for i in range(TAPS):
                        s = tuple_setitem(s, i, fma(g, load_some(line, places[i] + whole, w - whole), s[i]))
                here += w
                for i in range(TAPS):
                    places = tuple_setitem(places, i, places[i] + pitch)
            for i in range(TAPS):
                store(sums, there + i * n, load(sums, there + i * n) + s[i])


@kernel
def _grad_weight(start, stop, grad_out, x, n, shared, plan, taps, filter_size, c_out, chunks, sums):
    """Job: one filter, over one chunk of the batch. ``sums`` is (chunks, C_out, KH, KW)."""
    size, out_size, corner, split, zipped, reach, pitch, width, band, together = plan
    area, out_area = size[0] * size[1], out_size[0] * out_size[1]
    v = lanes(x)
    strips = max(band, STRIP)
    phase = (strips + reach) * pitch + v
    line_size = split[0] * split[1] * phase
    line = np.zeros(together * line_size, x.dtype)
    taps_size = taps.size // 2 * v
    totals = np.empty(together * taps_size + 2 * v, x.dtype)
    step = together if shared == 1 else 1
    job = start
    while job < stop:
        chunk, oc = job // c_out, job % c_out
        planes = min(step, stop - job, c_out - oc)
        totals[:] = 0
        for b in range(n * chunk // chunks, n * (chunk + 1) // chunks):
            plane = b * c_out + oc
            for row in range(0, out_size[0], band):
                rows = min(band, out_size[0] - row)
                _lay(
                    x, plane // shared * area, area, planes, size, corner, split, row, rows + reach, pitch, line, phase,
                )  # fmt: skip
                at = plane * out_area + row * out_size[1]
                _weigh(line, line_size, pitch, rows, planes, grad_out, at, out_size, taps, totals)
        # Neighbours are added until one number is left of each vector.
        length, count = v, planes * taps_size
        while length > 1:
            count, length = count // 2, length // 2
            for i in range(0, count, v):
                a, b_ = load(totals, 2 * i), load(totals, 2 * i + v)
                store(totals, i, even(a, b_) + odd(a, b_))
        for p in range(planes):
            for t in range(filter_size):
                poke(sums, (job + p) * filter_size + peek(taps, 2 * t + 1), peek(totals, p * (taps_size // v) + t))
        job += planes


class Plan(NamedTuple):
    """The sizes that a kernel needs, and the ``taps``: (offset along the line, place in the filter), phase by phase."""

    sizes: tuple
    square: bool
    taps: np.ndarray
    ends: np.ndarray


def _axis(kernel, stride, begin, dilation, back):
    """Return the taps of one axis as (target phase, source phase, shift), and how far the source is shifted.

    Forward, out[r] takes x[r * stride + k * dilation - begin]. Back, grad_input[r * stride + f] takes
    grad_out[r + (f + begin - k * dilation) / stride], for the taps for which this is whole: a tap belongs to one f.
    """
    if not back:
        return [(0, k * dilation % stride, k * dilation // stride) for k in range(kernel)], begin
    phases = [(k * dilation - begin) % stride for k in range(kernel)]
    shifts = [(f + begin - k * dilation) // stride for k, f in enumerate(phases)]
    return [(f, 0, shift - min(shifts)) for f, shift in zip(phases, shifts, strict=True)], -min(shifts)


@lru_cache(maxsize=256)
def _plan(size, out_size, kernel, stride, begin, dilation, back, n):
    """How to walk: from x (``size``) to out (``out_size``), or ``back`` from grad_out to grad_input."""
    (rows, top), (columns, left) = (_axis(kernel[a], stride[a], begin[a], dilation[a], back) for a in (0, 1))
    split, zipped = ((1, 1), stride) if back else (stride, (1, 1))
    height, width = -(-out_size[0] // zipped[0]), -(-out_size[1] // zipped[1])
    width = -(-width // n) * n
    pitch = -(-(width + max(shift for _, _, shift in columns)) // n) * n
    reach = max(shift for _, _, shift in rows)
    band = max(LINE // pitch - reach, STRIP)
    together = max(1, band // height)
    band = -(-height // -(-height // band))
    phase = (max(band, STRIP) + reach) * pitch + n
    taps = sorted(
        (to_y * zipped[1] + to_x, (y * split[1] + x) * phase + down * pitch + right, ky * kernel[1] + kx)
        for ky, (to_y, y, down) in enumerate(rows)
        for kx, (to_x, x, right) in enumerate(columns)
    )
    ends = np.searchsorted([tap[0] for tap in taps], np.arange(zipped[0] * zipped[1] + 1))
    table = np.array([tap[1:] for tap in taps] + [(0, 0)] * (-len(taps) % TAPS)).reshape(-1)
    sizes = (size, out_size, (top, left), split, zipped, reach, pitch, width, band, together)
    return Plan(sizes, kernel == (3, 3) and stride == dilation == (1, 1), table, ends)


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight.shape
    out = np.empty((n, c_out, *out_hw), x.dtype)
    start = np.zeros(c_out, x.dtype) if bias is None else bias
    plan = _plan(x.shape[2:], tuple(out_hw), (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, False, VECTOR_BYTES // x.itemsize)
    launch(
        _correlate, n * c_out, x.reshape(-1), weight.reshape(-1), start, c_out // c_in, 1, plan.sizes, plan.square, plan.taps,
        plan.ends, out.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 4,
    )  # fmt: skip
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    (n, c_in), (c_out, _, kh, kw) = input_shape[:2], weight.shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    plan = _plan(
        grad_out.shape[2:], tuple(input_shape[2:]), (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, True,
        VECTOR_BYTES // grad_out.itemsize,
    )
    launch(
        _correlate, n * c_in, grad_out.reshape(-1), weight.reshape(-1), np.zeros(c_in, weight.dtype),
        1, c_out // c_in, plan.sizes, plan.square, plan.taps, plan.ends, grad_input.reshape(-1),
        work=grad_out.shape[2] * grad_out.shape[3] * kh * kw / 4,
    )  # fmt: skip
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    n, c_in = x.shape[:2]
    c_out, _, kh, kw = weight_shape
    chunks = max(1, min(n, CHUNKS // c_out))
    sums = np.empty((chunks, c_out, kh, kw), x.dtype)
    plan = _plan(x.shape[2:], grad_out.shape[2:], (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, False, VECTOR_BYTES // x.itemsize)
    launch(
        _grad_weight, chunks * c_out, grad_out.reshape(-1), x.reshape(-1), n, c_out // c_in, plan.sizes, plan.taps, kh * kw,
        c_out, chunks, sums.reshape(-1), work=grad_out.size / c_out / chunks * kh * kw / 4,
    )  # fmt: skip
    return sums.sum(axis=0)[:, None]


depthwise_conv2d_grad_bias = conv2d_grad_bias
