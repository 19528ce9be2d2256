"""Depthwise convolution, fast. Read reference/depthwise_conv2d.py first.

Nothing is summed over channels, so there is no matrix product to gain from: 9 multiplications for each pixel that
comes from memory. What counts is to run along the pixels in whole vectors, whatever the padding, the stride and the
width of the map are. Measured on EPYC, AVX2, one thread, float32, batch 4, against a loop over the taps outside and
the pixels of a row inside: 10 to 14 times as fast with stride 1, 4 to 6 times with stride 2.

- **Lines.** An image is first laid out as a ``line``: its rows with the zeros of the padding around them, ``pitch``
  apart. A tap of the filter then is one number, its offset along the line, and there are no borders and no branches:
  out[q] = sum over taps of weight[tap] * line[q + offset[tap]].
- **Phases.** A stride of s deals the pixels out to s x s lines: row y, column x to the line (y % s, x % s). Along
  these lines all taps step by 1 again; a tap merely knows its line. Two shuffles deal out two vectors.
- **Back is forward with the phases on the other side.** grad_out is laid out as one line, each of the s x s phases of
  grad_input sums over its own taps, and the phases are zipped into rows: no scatter, no product with zero.
- **Dense taps.** 3 x 3 with stride 1 keeps the filter in 9 registers and 4 rows of sums in 4 more, so that a row of
  the line is loaded for three sums at once: 1.2 to 1.35 times as fast as a tap at a time. The gradient of the
  weight keeps its 9 sums in registers, and two rows share their loads: 1.1 to 1.5 times.
- **Visits.** The lines of a visit fit into the first-level cache: a ``band`` of the rows of a large plane, or many
  small planes ``together`` (7 x 7: 2 times as fast as one by one, 14 x 14: 1.5, 28 x 28: 1.1).

Tried and gone: fetching the next visit's pixels ahead of time (0.8 to 1.2 times as fast, mostly less than 1).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.kernels.conv2d import CHUNKS, conv2d_grad_bias
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.patches import inside
from minicnn.kernels.simd import (
    broadcast,
    even,
    fma,
    lanes,
    load,
    load_part,
    odd,
    peek,
    poke,
    splat,
    store,
    tuple_setitem,
    zip_high,
    zip_low,
)  # fmt: skip

STRIP = 7  # rows that share a tap in ``_slide``: maps of networks for 224 x 224 images are 7, 14, 28, .. high
LINES = 6144  # numbers in the lines of a visit: 24 KB of float32 (16 KB: 0.95 times as fast, 12 KB: 0.92)


@kernel
def _lay(x, at, apart, planes, size, corner, step, row, rows, clear, pitch, line, phase):
    """Deal planes of x out to lines, ``rows`` rows of each phase from row ``row`` on, with zeros around the image.

    Plane p starts at ``x[at + p * apart]``; its lines are step[0] x step[1] phases of ``phase`` numbers. Rows outside
    the image need ``clear`` only where a line held other rows before: lines are zero to begin with.
    """
    n = lanes(x)
    zero = splat(x, 0)
    h, w = size
    first, skipped = max(corner[1], 0), max(-corner[1], 0)  # a negative corner cuts pixels off
    count = max(0, min(w - skipped, pitch * step[1] - first))
    whole = count // (step[1] * n) * (step[1] * n)
    rest = count - whole
    to_even, to_odd = first // 2 + first % 2 * phase, (first + 1) // 2 + (1 - first % 2) * phase  # of a step of 2
    for parity in range(step[0]):
        y = row * step[0] + parity - corner[0]
        top, bottom = inside(y, step[0], rows, h)
        for p in range(planes):
            base = (p * step[0] + parity) * step[1] * phase
            if clear:
                for k in range(base, base + step[1] * phase, phase):
                    for q in range(k, k + top * pitch, n):
                        store(line, q, zero)
                    for q in range(k + bottom * pitch, k + rows * pitch, n):
                        store(line, q, zero)
            here = at + p * apart + (y + top * step[0]) * w + skipped
            there = base + top * pitch
            # A whole vector at the end of a row puts zeros on the seam, and on what the next row writes later.
            if step[1] == 1:
                for _ in range(top, bottom):
                    for i in range(0, whole, n):
                        store(line, there + first + i, load(x, here + i))
                    store(line, there + first + whole, load_part(x, here + whole, count % n, 0))
                    here, there = here + step[0] * w, there + pitch
            elif step[1] == 2:
                for _ in range(top, bottom):
                    for i in range(0, whole, 2 * n):
                        a, b = load(x, here + i), load(x, here + i + n)
                        store(line, there + to_even + i // 2, even(a, b))
                        store(line, there + to_odd + i // 2, odd(a, b))
                    a, b = load_part(x, here + whole, rest, 0), load_part(x, here + whole + n, rest - n, 0)
                    store(line, there + to_even + whole // 2, even(a, b))
                    store(line, there + to_odd + whole // 2, odd(a, b))
                    here, there = here + step[0] * w, there + pitch
            else:
                for _ in range(top, bottom):
                    for i in range(count):
                        poke(line, there + (first + i) % step[1] * phase + (first + i) // step[1], peek(x, here + i))
                    here, there = here + step[0] * w, there + pitch


@kernel
def _three(line, at, a, b, c, total):
    """Add three neighbouring taps to the total."""
    return fma(c, load(line, at + 2), fma(b, load(line, at + 1), fma(a, load(line, at), total)))


@kernel
def _slide_dense(line, line_size, pitch, weight, bias, oc, taps, planes, out, at, rows, w, apart):
    """Sum over 3 x 3 neighbouring taps, four rows by one vector at a time, into planes of ``out`` that lie ``apart``.

    ``oc`` is the channel of the first plane. Rows and columns that are left over at the end of a plane are summed
    together with some before them, which get the same sums once more.
    """
    n = lanes(out)
    for p in range(planes):
        k = oc * 9
        w0, w1, w2 = broadcast(weight, k + taps[1]), broadcast(weight, k + taps[3]), broadcast(weight, k + taps[5])
        w3, w4, w5 = broadcast(weight, k + taps[7]), broadcast(weight, k + taps[9]), broadcast(weight, k + taps[11])
        w6, w7, w8 = broadcast(weight, k + taps[13]), broadcast(weight, k + taps[15]), broadcast(weight, k + taps[17])
        start = broadcast(bias, oc)
        for y in range(0, rows, 4):
            r = min(y, rows - 4)
            for x in range(0, w, n):
                c = max(0, min(x, w - n))
                here, there = p * line_size + r * pitch + c, at + p * apart + r * w + c
                for _ in range(4):
                    second = here + pitch
                    total = _three(line, here, w0, w1, w2, start)
                    total = _three(line, second, w3, w4, w5, total)
                    store(out, there, _three(line, second + pitch, w6, w7, w8, total))
                    here, there = second, there + w
        oc = oc + 1 if oc + 1 < bias.size else 0


@kernel
def _slide(line, line_size, pitch, weight, bias, oc, i, taps, ends, planes, out, at, rows, w, apart):
    """Do the same for any taps, phase by phase of each plane of ``out``, STRIP rows by one vector at a time.

    ``i`` counts the sources of a plane, each with a filter of its own; from the second on, add to what is there.
    """
    n = lanes(out)
    phases = ends.size - 1
    sources = weight.size // (bias.size * ends[phases])
    for p in range(planes):
        start = broadcast(bias, oc)
        k = (oc * sources + i) * ends[phases]
        for f in range(phases):
            for y in range(0, rows, STRIP):
                r = min(y, rows - STRIP)
                for x in range(0, w, n):
                    c = max(0, min(x, w - n))
                    corner, there = p * line_size + r * pitch + c, at + (p * phases + f) * apart + r * w + c
                    sums = (start, start, start, start, start, start, start)
                    if i > 0:
                        for j in range(STRIP):
                            sums = tuple_setitem(sums, j, load(out, there + j * w))
                    for t in range(ends[f], ends[f + 1]):
                        here, tap = corner + peek(taps, 2 * t), broadcast(weight, k + peek(taps, 2 * t + 1))
                        for j in range(STRIP):
                            sums = tuple_setitem(sums, j, fma(tap, load(line, here + j * pitch), sums[j]))
                    for j in range(STRIP):
                        store(out, there + j * w, sums[j])
        oc = oc + 1 if oc + 1 < bias.size else 0


@kernel
def _pick(line, phase, pitch, step, row, rows, planes, size, out, at, stop):
    """Zip the phases of planes into ``out``, ``rows`` rows from row ``row`` on, never beyond ``out[stop - 1]``."""
    n = lanes(out)
    h, w = size
    span = (w + step[1] * n - 1) // (step[1] * n) * (step[1] * n)
    for p in range(planes):
        here = at + (p * h + row * step[0]) * w
        for r in range(rows):
            for parity in range(min(step[0], h - (row + r) * step[0])):
                there = (p * step[0] + parity) * step[1] * phase + r * pitch
                # What a whole vector writes behind the end of a row is written again by the next row.
                if step[1] == 1 and here + span <= stop:
                    for i in range(0, span, n):
                        store(out, here + i, load(line, there + i))
                elif step[1] == 2 and here + span <= stop:
                    for i in range(0, span, 2 * n):
                        a, b = load(line, there + i // 2), load(line, there + phase + i // 2)
                        store(out, here + i, zip_low(a, b))
                        store(out, here + i + n, zip_high(a, b))
                else:
                    for i in range(w):
                        poke(out, here + i, peek(line, there + i % step[1] * phase + i // step[1]))
                here += w


@kernel
def _correlate(start, stop, x, weight, bias, shared, sources, plan, taps, ends, out):
    """Job: one plane of ``out``, the sum over ``sources`` planes of x, each with a filter of its own.

    Forward, ``shared`` planes of ``out`` come from the same plane of x; back, a plane has several sources.
    """
    size, out_size, corner, split, zipped, reach, pitch, phase, (strips, width), band, together, dense = plan
    area, out_area = size[0] * size[1], out_size[0] * out_size[1]
    height, n = (out_size[0] + zipped[0] - 1) // zipped[0], lanes(out)
    line_size, result_size = split[0] * split[1] * phase, strips * width
    line = np.zeros(together * line_size, out.dtype)
    result = np.empty(together * zipped[0] * zipped[1] * result_size, out.dtype)
    plane = start
    while plane < stop:
        planes = min(together, stop - plane) if shared == 1 else 1
        # Straight into ``out`` where strips and vectors fit, or run over only into planes that are written later.
        direct = sources * zipped[0] * zipped[1] == 1 and band >= STRIP
        direct = direct and (out_size[1] >= n or (out_area >= n and plane + planes < stop))
        for r in range(0, height, band):
            row = min(r, height - band)
            at = plane * out_area + row * out_size[1]
            for i in range(sources):
                source = plane // shared * sources + i
                _lay(
                    x, source * area, sources * area, planes, size, corner, split, row, band + reach, band < height,
                    pitch, line, phase,
                )  # fmt: skip
                if direct and dense:
                    _slide_dense(
                        line, line_size, pitch, weight, bias, plane % bias.size, taps, planes, out, at, band,
                        out_size[1], out_area,
                    )  # fmt: skip
                elif direct:
                    _slide(
                        line, line_size, pitch, weight, bias, plane % bias.size, i, taps, ends, planes, out, at, band,
                        out_size[1], out_area,
                    )  # fmt: skip
                else:
                    _slide(
                        line, line_size, pitch, weight, bias, plane % bias.size, i, taps, ends, planes, result, 0,
                        strips, width, result_size,
                    )  # fmt: skip
            if not direct:
                _pick(
                    result, result_size, width, zipped, row, band, planes, out_size, out, plane * out_area,
                    stop * out_area,
                )  # fmt: skip
        plane += planes


@kernel
def _nine(line, at, pitch, grad_out, there, count, sums):
    """Add the products of ``count`` numbers of grad_out with their 3 x 3 neighbours to the sums of nine taps."""
    g = load_part(grad_out, there, count, 0)
    for ky in range(3):
        for kx in range(3):
            sums = tuple_setitem(sums, 3 * ky + kx, fma(g, load_part(line, at + kx, count, 0), sums[3 * ky + kx]))
        at += pitch
    return sums


@kernel
def _weigh_dense(line, line_size, pitch, rows, planes, grad_out, at, size, sums):
    """Add to the sums of 3 x 3 neighbouring taps, a vector for each, their products along the rows of planes.

    Each band has sums of its own, which are added to those before: sums of float32 stay short.
    """
    n = lanes(sums)
    h, w = size
    whole = w // n * n
    zero = splat(sums, 0)
    for p in range(planes):
        s = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
        for r in range(0, rows, 2):  # the second row finds most of what it needs in registers
            here, there = p * line_size + r * pitch, at + (p * h + r) * w
            for c in range(0, whole, n):
                s = _nine(line, here + c, pitch, grad_out, there + c, n, s)
                if r + 1 < rows:
                    s = _nine(line, here + c + pitch, pitch, grad_out, there + c + w, n, s)
            if whole < w:
                s = _nine(line, here + whole, pitch, grad_out, there + whole, w % n, s)
                if r + 1 < rows:
                    s = _nine(line, here + whole + pitch, pitch, grad_out, there + whole + w, w % n, s)
        for i in range(9):
            store(sums, (p * 9 + i) * n, load(sums, (p * 9 + i) * n) + s[i])


@kernel
def _weigh(line, line_size, pitch, rows, planes, grad_out, at, size, taps, sums):
    """Do the same for any taps, nine at a time."""
    n = lanes(sums)
    h, w = size
    whole = w // n * n
    zero = splat(sums, 0)
    for p in range(planes):
        for t in range(0, taps.size // 2, 9):
            s = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
            places = (0, 0, 0, 0, 0, 0, 0, 0, 0)
            for i in range(9):
                places = tuple_setitem(places, i, peek(taps, 2 * (t + i)))
            for r in range(rows):
                here, there = p * line_size + r * pitch, at + (p * h + r) * w
                for c in range(0, whole, n):
                    g = load(grad_out, there + c)
                    for i in range(9):
                        s = tuple_setitem(s, i, fma(g, load(line, places[i] + here + c), s[i]))
                if whole < w:
                    g = load_part(grad_out, there + whole, w - whole, 0)
                    for i in range(9):
                        s = tuple_setitem(s, i, fma(g, load_part(line, places[i] + here + whole, w - whole, 0), s[i]))
            for i in range(9):
                here = (p * (taps.size // 2) + t + i) * n
                store(sums, here, load(sums, here) + s[i])


@kernel
def _grad_weight(start, stop, grad_out, x, n, shared, plan, taps, chunks, c_out, filter_size, grad_weight):
    """Job: one filter, over one chunk of the batch. ``grad_weight`` is (chunks, C_out, KH, KW)."""
    size, out_size, corner, split, _, reach, pitch, phase, _, band, together, dense = plan
    area, out_area, v = size[0] * size[1], out_size[0] * out_size[1], lanes(x)
    line_size = split[0] * split[1] * phase
    line = np.zeros(together * line_size, x.dtype)
    sums = np.empty(together * taps.size // 2 * v + 2 * v, x.dtype)
    job = start
    while job < stop:
        chunk, oc = job // c_out, job % c_out
        planes = min(together, stop - job, c_out - oc) if shared == 1 else 1
        sums[:] = 0
        for b in range(n * chunk // chunks, n * (chunk + 1) // chunks):
            plane = b * c_out + oc
            for row in range(0, out_size[0], band):
                rows = min(band, out_size[0] - row)
                _lay(
                    x, plane // shared * area, area, planes, size, corner, split, row, rows + reach,
                    band < out_size[0], pitch, line, phase,
                )  # fmt: skip
                at = plane * out_area + row * out_size[1]
                if dense:
                    _weigh_dense(line, line_size, pitch, rows, planes, grad_out, at, out_size, sums)
                else:
                    _weigh(line, line_size, pitch, rows, planes, grad_out, at, out_size, taps, sums)
        count = planes * (taps.size // 2) * v
        while count > planes * (taps.size // 2):  # neighbours are added until one number is left of each vector
            count //= 2
            for i in range(0, count, v):
                a, b = load(sums, 2 * i), load(sums, 2 * i + v)
                store(sums, i, even(a, b) + odd(a, b))
        for p in range(planes):
            for t in range(filter_size):
                at = (job + p) * filter_size + peek(taps, 2 * t + 1)
                poke(grad_weight, at, peek(sums, p * (taps.size // 2) + t))
        job += planes


class Plan(NamedTuple):
    """What kernels need to know of a geometry: sizes, and the taps of phase f, from ``ends[f]`` to ``ends[f + 1]``.

    ``taps`` holds (offset along the line, place in the filter) of each tap, and is filled up to whole groups of nine.
    """

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
def _plan(size, out_size, kernel, stride, padding, dilation, n, back=False):
    """Plan the walk from x (``size``) to out (``out_size``), or ``back`` from grad_out to grad_input, for n lanes."""
    rows, top = _axis(kernel[0], stride[0], padding[0][0], dilation[0], back)
    columns, left = _axis(kernel[1], stride[1], padding[1][0], dilation[1], back)
    split, zipped = ((1, 1), stride) if back else (stride, (1, 1))
    height, width = -(-out_size[0] // zipped[0]), -(-out_size[1] // (zipped[1] * n)) * n  # of a phase, in whole vectors
    reach, pitch = max(shift for _, _, shift in rows), width + max(shift for _, _, shift in columns)
    pitch = -(-pitch // n) * n
    fit = LINES // (pitch * stride[0] * stride[1])  # rows
    bands = -(-height // max(fit - reach, STRIP))
    band = -(-height // bands)
    strips = -(-band // STRIP) * STRIP
    together = max(1, fit // (strips + reach))
    phase = (strips + reach) * pitch + n
    taps = sorted(
        (to_y * zipped[1] + to_x, (y * split[1] + x) * phase + down * pitch + right, ky * kernel[1] + kx)
        for ky, (to_y, y, down) in enumerate(rows)
        for kx, (to_x, x, right) in enumerate(columns)
    )
    ends = np.searchsorted([phase_of_out for phase_of_out, _, _ in taps], np.arange(zipped[0] * zipped[1] + 1))
    table = np.array([tap for _, *tap in taps] + [(0, 0)] * (-len(taps) % 9)).reshape(-1)
    dense = kernel == (3, 3) and stride == dilation == (1, 1)
    corner, result = (top, left), (strips, width)
    sizes = (size, out_size, corner, split, zipped, reach, pitch, phase, result, band, together, dense)
    return Plan(sizes, table, ends)


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight.shape
    out = np.empty((n, c_out, *out_hw), x.dtype)
    start = np.zeros(c_out, x.dtype) if bias is None else bias
    sizes, taps, ends = _plan(x.shape[2:], tuple(out_hw), (kh, kw), stride, padding, dilation, lanes(x))
    launch(
        _correlate, n * c_out, x.reshape(-1), weight.reshape(-1), start, c_out // c_in, 1, sizes, taps, ends,
        out.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 8,
    )  # fmt: skip
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    (n, c_in, *hw), (c_out, _, kh, kw), out_hw = input_shape, weight.shape, grad_out.shape[2:]
    grad_input = np.empty(input_shape, grad_out.dtype)
    sizes, taps, ends = _plan(out_hw, tuple(hw), (kh, kw), stride, padding, dilation, lanes(grad_out), back=True)
    launch(
        _correlate, n * c_in, grad_out.reshape(-1), weight.reshape(-1), np.zeros(c_in, weight.dtype), 1, c_out // c_in,
        sizes, taps, ends, grad_input.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 8,
    )  # fmt: skip
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight_shape
    chunks = max(1, min(n, CHUNKS // c_out))
    sums = np.empty((chunks, *weight_shape), x.dtype)
    sizes, taps, _ = _plan(x.shape[2:], grad_out.shape[2:], (kh, kw), stride, padding, dilation, lanes(x))
    launch(
        _grad_weight, chunks * c_out, grad_out.reshape(-1), x.reshape(-1), n, c_out // c_in, sizes, taps, chunks,
        c_out, kh * kw, sums.reshape(-1), work=grad_out.size / c_out / chunks * kh * kw / 8,
    )  # fmt: skip
    return sums.sum(axis=0)


depthwise_conv2d_grad_bias = conv2d_grad_bias
