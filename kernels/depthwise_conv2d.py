"""Depthwise convolution, fast. Read reference/depthwise_conv2d.py, then lines.py first.

Nothing is summed over channels, so there is no matrix product to gain from: 9 multiplications for each pixel that
comes from memory. What counts is to run along the pixels in whole vectors, whatever the padding, the stride and the
width of the map are. Measured on EPYC, AVX2, one thread, float32, batch 4, against a loop over the taps outside and
the pixels of a row inside: 10 to 14 times as fast with stride 1, 4 to 6 times with stride 2.

- **Lines** (lines.py): out[q] = sum over taps of weight[tap] * line[q + offset[tap]], without borders and branches.
- **Flat planes** (lines.py) of up to 74 x 74 pixels, for 3 x 3 with stride 1: vectors run on over the ends of rows.
- **Dense taps.** In larger planes 3 x 3 with stride 1 keeps the filter in 9 registers and 4 rows of sums in 4 more, so
  that a row of the line is loaded for three sums at once: 1.2 to 1.35 times as fast as a tap at a time. The gradient
  of the weight keeps its 9 sums in registers, and two rows share their loads: 1.1 to 1.5 times.

Tried and gone: fetching the next visit's pixels ahead of time (0.8 to 1.2 times as fast, mostly less than 1).
"""

import numpy as np

from minicnn.kernels.conv2d import conv2d_grad_bias
from minicnn.kernels.gemm import CHUNKS
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.lines import lay, pick, plan
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
    select,
    splat,
    store,
    tuple_setitem,
)  # fmt: skip

STRIP = 7  # rows that share a tap in ``_slide``: maps of networks for 224 x 224 images are 7, 14, 28, .. high


@kernel(inline=True)
def _three(line, at, a, b, c, total):
    """Add three neighbouring taps to the total."""
    return fma(c, load(line, at + 2), fma(b, load(line, at + 1), fma(a, load(line, at), total)))


@kernel(allocates=False)
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


@kernel(allocates=False)
def _slide_flat(line, line_size, w, sides, weight, bias, oc, taps, planes, out, at, area):
    """Sum over 3 x 3 neighbouring taps along whole planes of ``area`` pixels, wherever their rows of ``w`` end."""
    n, right = lanes(out), sides.size // 2
    for p in range(planes):
        k = oc * 9
        w0, w1, w2 = broadcast(weight, k + taps[1]), broadcast(weight, k + taps[3]), broadcast(weight, k + taps[5])
        w3, w4, w5 = broadcast(weight, k + taps[7]), broadcast(weight, k + taps[9]), broadcast(weight, k + taps[11])
        w6, w7, w8 = broadcast(weight, k + taps[13]), broadcast(weight, k + taps[15]), broadcast(weight, k + taps[17])
        start = broadcast(bias, oc)
        for x in range(0, area, n):
            i = min(x, area - n)
            a = p * line_size + i
            b, c = a + w, a + 2 * w
            before = fma(w6, load(line, c), fma(w3, load(line, b), w0 * load(line, a)))
            here = fma(w7, load(line, c + 1), fma(w4, load(line, b + 1), fma(w1, load(line, a + 1), start)))
            behind = fma(w8, load(line, c + 2), fma(w5, load(line, b + 2), w2 * load(line, a + 2)))
            before, behind = select(load(sides, i) > 0, before, 0), select(load(sides, right + i) > 0, behind, 0)
            store(out, at + p * area + i, here + (before + behind))
        oc = oc + 1 if oc + 1 < bias.size else 0


@kernel(allocates=False)
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
def _correlate(start, stop, x, weight, bias, shared, sources, plan, taps, ends, sides, out):
    """Job: one plane of ``out``, the sum over ``sources`` planes of x, each with a filter of its own.

    Forward, ``shared`` planes of ``out`` come from the same plane of x; back, a plane has several sources.
    """
    size, out_size, corner, split, zipped, reach, pitch, phase, (strips, width), band, together, dense, flat = plan
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
                lay(
                    x, source * area, sources * area, planes, size, corner, split, row, band + reach, band < height,
                    line.dtype.type(0), pitch, line, phase,
                )  # fmt: skip
                if flat:
                    _slide_flat(
                        line, line_size, flat, sides, weight, bias, plane % bias.size, taps, planes, out, at, area
                    )
                elif direct and dense:
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
            if not direct and not flat:
                pick(
                    result, result_size, width, zipped, row, band, planes, out_size, out, plane * out_area,
                    stop * out_area,
                )  # fmt: skip
        plane += planes


@kernel(inline=True)
def _nine(line, at, pitch, grad_out, there, count, sums):
    """Add the products of ``count`` numbers of grad_out with their 3 x 3 neighbours to the sums of nine taps."""
    g = load_part(grad_out, there, count, 0)
    for ky in range(3):
        for kx in range(3):
            sums = tuple_setitem(sums, 3 * ky + kx, fma(g, load_part(line, at + kx, count, 0), sums[3 * ky + kx]))
        at += pitch
    return sums


@kernel(allocates=False)
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


@kernel(inline=True)
def _nine_within(line, at, w, sides, i, grad_out, there, count, sums):
    """Do the same along a flat plane, from pixel ``i`` on: a side that is not there, or inf there, adds nothing."""
    g = load_part(grad_out, there, count, 0)
    before, behind = load(sides, i) > 0, load(sides, sides.size // 2 + i) > 0
    for k in range(0, 9, 3):
        left, here, right = load(line, at), load_part(line, at + 1, count, 0), load(line, at + 2)
        sums = tuple_setitem(sums, k, fma(g, select(before, left, 0), sums[k]))
        sums = tuple_setitem(sums, k + 1, fma(g, here, sums[k + 1]))
        sums = tuple_setitem(sums, k + 2, fma(g, select(behind, right, 0), sums[k + 2]))
        at += w
    return sums


@kernel(allocates=False)
def _weigh_flat(line, line_size, w, sides, planes, grad_out, at, area, sums):
    """Do the same as ``_weigh_dense`` along whole planes of ``area`` pixels, wherever their rows of ``w`` end."""
    n = lanes(sums)
    whole, zero = area // n * n, splat(sums, 0)
    for p in range(planes):
        here, there = p * line_size, at + p * area
        s = (zero, zero, zero, zero, zero, zero, zero, zero, zero)
        for i in range(0, whole, n):
            s = _nine_within(line, here + i, w, sides, i, grad_out, there + i, n, s)
        if whole < area:
            s = _nine_within(line, here + whole, w, sides, whole, grad_out, there + whole, area % n, s)
        for i in range(9):
            store(sums, (p * 9 + i) * n, load(sums, (p * 9 + i) * n) + s[i])


@kernel(allocates=False)
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
def _grad_weight(start, stop, grad_out, x, n, shared, plan, taps, sides, chunks, c_out, filter_size, grad_weight):
    """Job: one filter, over one chunk of the batch. ``grad_weight`` is (chunks, C_out, KH, KW)."""
    size, out_size, corner, split, _, reach, pitch, phase, _, band, together, dense, flat = plan
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
                lay(
                    x, plane // shared * area, area, planes, size, corner, split, row, rows + reach,
                    band < out_size[0], line.dtype.type(0), pitch, line, phase,
                )  # fmt: skip
                at = plane * out_area + row * out_size[1]
                if flat:
                    _weigh_flat(line, line_size, flat, sides, planes, grad_out, at, area, sums)
                elif dense:
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


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight.shape
    out = np.empty((n, c_out, *out_hw), x.dtype)
    start = np.zeros(c_out, x.dtype) if bias is None else bias
    sizes, taps, ends, sides = plan(
        x.shape[2:], tuple(out_hw), (kh, kw), stride, padding, dilation, lanes(x), STRIP, flat=c_in == c_out
    )
    launch(
        _correlate, n * c_out, x.reshape(-1), weight.reshape(-1), start, c_out // c_in, 1, sizes, taps, ends, sides,
        out.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 8,
    )  # fmt: skip
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    (n, c_in, *hw), (c_out, _, kh, kw), out_hw = input_shape, weight.shape, grad_out.shape[2:]
    grad_input = np.empty(input_shape, grad_out.dtype)
    sizes, taps, ends, sides = plan(
        out_hw, tuple(hw), (kh, kw), stride, padding, dilation, lanes(grad_out), STRIP, back=True, flat=c_in == c_out
    )
    launch(
        _correlate, n * c_in, grad_out.reshape(-1), weight.reshape(-1), np.zeros(c_in, weight.dtype), 1, c_out // c_in,
        sizes, taps, ends, sides, grad_input.reshape(-1), work=out_hw[0] * out_hw[1] * kh * kw / 8,
    )  # fmt: skip
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight_shape
    chunks = max(1, min(n, CHUNKS // c_out))
    sums = np.empty((chunks, *weight_shape), x.dtype)
    sizes, taps, _, sides = plan(
        x.shape[2:], grad_out.shape[2:], (kh, kw), stride, padding, dilation, lanes(x), STRIP, flat=c_in == c_out
    )
    launch(
        _grad_weight, chunks * c_out, grad_out.reshape(-1), x.reshape(-1), n, c_out // c_in, sizes, taps, sides,
        chunks, c_out, kh * kw, sums.reshape(-1), work=grad_out.size / c_out / chunks * kh * kw / 8,
    )  # fmt: skip
    return sums.sum(axis=0)


depthwise_conv2d_grad_bias = conv2d_grad_bias
