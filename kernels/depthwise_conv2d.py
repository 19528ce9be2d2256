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

from minicnn.kernels.conv2d import CHUNKS, conv2d_grad_bias
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    broadcast, even, fma, lanes, load, load_some, odd, peek, poke, splat, store, tuple_setitem, zip_high, zip_low,
)  # fmt: skip

BLOCK = 8  # vectors of a line that a sum over taps keeps in registers
TAPS = 9  # sums of the gradient of the weight that stay in registers
LINE = 3072  # numbers in a line: 12 KB of float32
SLACK = 256  # numbers behind a line that whole blocks may read or write


@kernel
def _lay(x, at, size, corner, step, row, rows, pitch, line, phase):
    """Deal the plane at ``x[at]`` out to lines, ``rows`` rows of each from row ``row`` on, with zeros around it."""
    n = lanes(x)
    h, w = size
    first, skipped = max(corner[1], 0), max(-corner[1], 0)  # a negative corner cuts pixels off
    count = max(0, min(w - skipped, pitch * step[1] - first))
    # A whole vector at the end of a row puts zeros on the seam, and on what the next row writes later.
    for parity in range(step[0]):
        for r in range(rows):
            y = (row + r) * step[0] + parity - corner[0]
            here, there = at + y * w + skipped, parity * step[1] * phase + r * pitch
            if y < 0 or y >= h:
                for p in range(step[1]):
                    for i in range(0, pitch, n):
                        store(line, there + p * phase + i, splat(x, 0))
            elif step[1] == 1:
                for i in range(0, count, n):
                    store(line, there + first + i, load_some(x, here + i, count - i))
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


@kernel
def _slide(line, count, weight, filter_at, taps, t0, t1, out, out_at, start, add):
    """Sum over the taps t0 .. t1 for ``count`` places of a line, up to a whole block."""
    n = lanes(out)
    s = splat(out, start)
    for q in range(0, count, BLOCK * n):
        sums = (s, s, s, s, s, s, s, s)
        if add:
            for v in range(BLOCK):
                sums = tuple_setitem(sums, v, load(out, out_at + q + v * n))
        for t in range(t0, t1):
            tap, at = broadcast(weight, filter_at + peek(taps, 2 * t)), q + peek(taps, 2 * t + 1)
            for v in range(BLOCK):
                sums = tuple_setitem(sums, v, fma(tap, load(line, at + v * n), sums[v]))
        for v in range(BLOCK):
            store(out, out_at + q + v * n, sums[v])


@kernel
def _pick(line, phase, pitch, step, row, rows, size, out, at, stop):
    """Zip the rows of the lines into the plane at ``out[at]``. Whole vectors may run over, up to ``out[stop]``."""
    n = lanes(out)
    h, w = size
    for r in range(rows):
        for parity in range(min(step[0], h - (row + r) * step[0])):
            there, here = parity * step[1] * phase + r * pitch, at + ((row + r) * step[0] + parity) * w
            done = 0
            # What a whole vector writes behind the end of a row is written again by the next row.
            if step[1] == 1:
                while done < w and here + done + n <= stop:
                    store(out, here + done, load(line, there + done))
                    done += n
            elif step[1] == 2:
                while done < w and here + done + 2 * n <= stop:
                    a, b = load(line, there + done // 2), load(line, there + phase + done // 2)
                    store(out, here + done, zip_low(a, b))
                    store(out, here + done + n, zip_high(a, b))
                    done += 2 * n
            for i in range(done, w):
                poke(out, here + i, peek(line, there + i % step[1] * phase + i // step[1]))


@kernel
def _correlate(start, stop, x, weight, bias, multiplier, plan, taps, ends, out):
    """Job: one plane of ``out``, which is the sum over one or several planes of x, each with a filter of its own.

    Either several planes of ``out`` share a plane of x (the multiplier of forward), or they have several each.
    """
    size, out_size, corner, split, zipped, reach, (pitch, band), kernel_size = plan
    filter_size = kernel_size[0] * kernel_size[1]
    shared, sources = multiplier
    h_out, w_out = out_size
    phase = (band + reach) * pitch + SLACK
    line = np.zeros(split[0] * split[1] * phase, out.dtype)
    result_phase = band * pitch + SLACK
    result = np.empty(zipped[0] * zipped[1] * result_phase, out.dtype)
    c_out = bias.size
    for plane in range(start, stop):
        oc = plane % c_out
        for row in range(0, (h_out + zipped[0] - 1) // zipped[0], band):
            rows = min(band, (h_out + zipped[0] - 1) // zipped[0] - row)
            for i in range(sources):
                source = plane // shared * sources + i
                _lay(x, source * size[0] * size[1], size, corner, split, row, rows + reach, pitch, line, phase)
                filter_at = (oc * sources + i) * filter_size
                for f in range(zipped[0] * zipped[1]):
                    _slide(
                        line, rows * pitch, weight, filter_at, taps, ends[f], ends[f + 1], result, f * result_phase,
                        bias[oc], i > 0,
                    )  # fmt: skip
            at = plane * h_out * w_out
            _pick(result, result_phase, pitch, zipped, row, rows, out_size, out, at, stop * h_out * w_out)


@kernel
def _weigh(line, grad, count, taps, t, sums):
    """Add to the sums of the taps t .. t + 8 their products along two lines."""
    n = lanes(sums)
    zero = splat(sums, 0)
    s = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
    at = (peek(taps, 2 * t + 1), peek(taps, 2 * t + 3), peek(taps, 2 * t + 5), peek(taps, 2 * t + 7), peek(taps, 2 * t + 9),
          peek(taps, 2 * t + 11), peek(taps, 2 * t + 13), peek(taps, 2 * t + 15), peek(taps, 2 * t + 17))
    for q in range(0, count, n):
        g = load(grad, q)
        for i in range(TAPS):
            s = tuple_setitem(s, i, fma(g, load(line, at[i] + q), s[i]))
    for i in range(TAPS):
        store(sums, (t + i) * n, load(sums, (t + i) * n) + s[i])


@kernel
def _grad_weight(start, stop, grad_out, x, n, multiplier, plan, taps, c_out, chunks, sums):
    """Job: one filter, over one chunk of the batch. ``sums`` is (chunks, C_out, KH, KW)."""
    size, out_size, corner, split, zipped, reach, (pitch, band), kernel_size = plan
    h_out, w_out = out_size
    filter_size = kernel_size[0] * kernel_size[1]
    phase = (band + reach) * pitch + SLACK
    line = np.zeros(split[0] * split[1] * phase, x.dtype)
    grad = np.zeros(band * pitch + SLACK, x.dtype)
    width = lanes(x)
    zero = splat(x, 0)
    totals = np.empty((filter_size + TAPS) * width, x.dtype)
    for job in range(start, stop):
        chunk, oc = job // c_out, job % c_out
        totals[:] = 0
        for b in range(n * chunk // chunks, n * (chunk + 1) // chunks):
            plane = b * c_out + oc
            for row in range(0, h_out, band):
                rows = min(band, h_out - row)
                _lay(
                    x, plane // multiplier * size[0] * size[1], size, corner, split, row, rows + reach, pitch, line,
                    phase,
                )  # fmt: skip
                _lay(grad_out, plane * h_out * w_out, out_size, (0, 0), (1, 1), row, rows, pitch, grad, 0)
                store(grad, rows * pitch, zero)  # the last vector sees nothing of the band before
                for t in range(0, filter_size, TAPS):
                    _weigh(line, grad, rows * pitch, taps, t, totals)
        for t in range(filter_size):
            total = 0.0
            for i in range(width):
                total += totals[t * width + i]
            sums[job * filter_size + taps[2 * t]] = total


class Plan(NamedTuple):
    """The sizes that a kernel needs; ``taps`` holds (place in the filter, offset along the line), phase by phase."""

    sizes: tuple
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
def _plan(size, out_size, kernel, stride, begin, dilation, back):
    """How to walk: from x (``size``) to out (``out_size``), or ``back`` from grad_out to grad_input."""
    (rows, top), (columns, left) = (_axis(kernel[a], stride[a], begin[a], dilation[a], back) for a in (0, 1))
    split, zipped = ((1, 1), stride) if back else (stride, (1, 1))
    pitch = -(-out_size[1] // zipped[1]) + max(shift for _, _, shift in columns)
    reach = max(shift for _, _, shift in rows)
    band = max(1, min(-(-out_size[0] // zipped[0]), LINE // pitch - reach))
    phase = (band + reach) * pitch + SLACK
    taps = sorted(
        (to_y * zipped[1] + to_x, ky * kernel[1] + kx, (y * split[1] + x) * phase + down * pitch + right)
        for ky, (to_y, y, down) in enumerate(rows)
        for kx, (to_x, x, right) in enumerate(columns)
    )
    ends = np.searchsorted([tap[0] for tap in taps], np.arange(zipped[0] * zipped[1] + 1))
    table = np.array([tap[1:] for tap in taps] + [(0, 0)] * TAPS).reshape(-1)  # whole groups of nine
    return Plan((size, out_size, (top, left), split, zipped, reach, (pitch, band), kernel), table, ends)


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight.shape
    out = np.empty((n, c_out, *out_hw), x.dtype)
    start = np.zeros(c_out, x.dtype) if bias is None else bias
    plan = _plan(x.shape[2:], tuple(out_hw), (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, False)
    launch(
        _correlate, n * c_out, x.reshape(-1), weight.reshape(-1), start, (c_out // c_in, 1), plan.sizes, plan.taps,
        plan.ends, out.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 4,
    )  # fmt: skip
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    (n, c_in), (c_out, _, kh, kw) = input_shape[:2], weight.shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    plan = _plan(
        grad_out.shape[2:], tuple(input_shape[2:]), (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, True
    )
    launch(
        _correlate, n * c_in, grad_out.reshape(-1), weight.reshape(-1), np.zeros(c_in, weight.dtype),
        (1, c_out // c_in), plan.sizes, plan.taps, plan.ends, grad_input.reshape(-1),
        work=grad_out.shape[2] * grad_out.shape[3] * kh * kw / 4,
    )  # fmt: skip
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    n, c_in = x.shape[:2]
    c_out, _, kh, kw = weight_shape
    chunks = max(1, min(n, CHUNKS // c_out))
    sums = np.empty((chunks, c_out, kh, kw), x.dtype)
    plan = _plan(x.shape[2:], grad_out.shape[2:], (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, False)
    launch(
        _grad_weight, chunks * c_out, grad_out.reshape(-1), x.reshape(-1), n, c_out // c_in, plan.sizes, plan.taps,
        c_out, chunks, sums.reshape(-1), work=grad_out.size / c_out / chunks * kh * kw / 4,
    )  # fmt: skip
    return sums.sum(axis=0)[:, None]


depthwise_conv2d_grad_bias = conv2d_grad_bias
