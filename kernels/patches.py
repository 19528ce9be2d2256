"""From images to the panels of a matrix product: what convolutions (conv2d.py, winograd.py) have in common.

A window of KH x KW taps slides over an image. Its taps times its places make the *patch matrix*, KH * KW times as large
as the image, so it never exists: panels of it are cut out when the product needs them (*implicit im2col*). Three steps
keep that cheap:

1. ``sort_rows`` copies the image rows that a job needs, once, with their zero padding, and sorted by the step: with
   step 2 first all even columns of a row, then all odd ones, and the rows likewise. Whatever the padding and the step,
   neighbouring windows then find their tap in neighbouring places. Without padding and step, the image itself will do.
2. ``cut`` divides the output pixels of the job's panels into *runs* within one row of the output.
3. ``pack_patches`` copies, for every run and every tap, one or two whole vectors; ``pack_pixels`` does it the other way
   round, a pixel for each row of the panel, for the gradient of the weight.

Pixels are counted through the whole batch, ``q = b * H_out * W_out + oy * W_out + ox``, so that small maps fill whole
panels too.
"""

from __future__ import annotations

from minicnn.kernels.gemm import ROWS
from minicnn.kernels.jit import kernel
from minicnn.kernels.simd import even, lanes, load, peek, poke, prefetch, splat, square, store, transpose, tuple_setitem

AHEAD = 8  # taps


@kernel(inline=True)
def inside(first, step, count, size):
    """Return t0, t1: exactly for t0 <= t < t1 (within 0 .. count) lies first + t * step in 0 .. size - 1."""
    t0 = 0 if first >= 0 else min(count, (step - 1 - first) // step)
    t1 = 0 if first >= size else min(count, (size - 1 - first) // step + 1)
    return t0, max(t0, t1)


@kernel(inline=True)
def _copy_every(x, at, step, t0, t1, count, lines, here):
    """Write count numbers to lines[here]: x[at + t * step] for t0 <= t < t1, the others 0."""
    n = lanes(lines)
    for t in range(t0):
        poke(lines, here + t, lines.dtype.type(0))
    t = t0
    vectors = (t1 - t0 + n - 1) // n * n  # the last one may reach too far: what follows is written later
    if step in (1, 2, 4) and at + (t0 + vectors) * step <= x.size:
        while t < t1:
            there = at + t * step
            vector = load(x, there)
            if step > 1:
                vector = even(vector, load(x, there + n))
            if step == 4:
                vector = even(vector, even(load(x, there + 2 * n), load(x, there + 3 * n)))
            store(lines, here + t, vector)
            t += n
    for rest in range(t, t1):
        poke(lines, here + rest, peek(x, at + rest * step))
    for t in range(t1, count):
        poke(lines, here + t, lines.dtype.type(0))


@kernel(allocates=False)
def sort_rows(x, image, channel, channels, b0, oy0, rows, period, step, kinds, corner, pitch, lines):
    """Copy padded rows of ``channels`` channels from ``channel`` on to lines[channel, kind of row, kind of column, row,
    pitch].

    Row r belongs to output row ``oy0 + r``, counted with ``period`` rows for an image, from image ``b0`` on; of the
    rows and columns of every step only the first ``kinds`` are wanted. ``image`` is (C, H, W), ``corner`` the padding
    at top and left.
    """
    _, h, w = image
    n = lanes(lines)
    zero = splat(lines, 0)
    here = 0
    for c in range(channels):
        for fy in range(kinds[0]):
            for fx in range(kinds[1]):
                first = fx - corner[1]
                t0, t1 = inside(first, step[1], pitch, w)
                b, oy = b0, oy0
                for _ in range(rows):
                    if oy == period:
                        b, oy = b + 1, 0
                    y = oy * step[0] + fy - corner[0]
                    if 0 <= y < h:
                        row = ((b * image[0] + channel + c) * h + y) * w
                        if fx == 0:
                            for t in range(0, w, 2 * n):
                                prefetch(x, row + h * w + t)
                        _copy_every(x, row + first, step[1], t0, t1, pitch, lines, here)
                    else:
                        for t in range(
                            0, pitch, n
                        ):  # what is too much is overwritten by the next row (one vector is to spare)
                            store(lines, here + t, zero)
                    here += pitch
                    oy += 1


@kernel(allocates=False)
def tap_offsets(tap, count, window, dilation, kinds, strides, offsets):
    """Tell how far the taps tap .. tap + count - 1 lie from the first: ``strides`` of (channel, kinds, row, column) of
    the source.

    Taps are counted as (ic, ky, kx), ic from the first channel of the source.
    """
    kx, ky, ic = tap % window[1], tap // window[1] % window[0], tap // (window[0] * window[1])
    for k in range(count):
        y, x = ky * dilation[0], kx * dilation[1]
        offsets[k] = (
            ic * strides[0] + y % kinds[0] * strides[1] + x % kinds[1] * strides[2] + y // kinds[0] * strides[3]
        )
        offsets[k] += x // kinds[1]
        kx += 1
        if kx == window[1]:
            kx, ky = 0, ky + 1
            if ky == window[0]:
                ky, ic = 0, ic + 1


@kernel(allocates=False)
def cut(q0, q1, width, panel, out_hw, source, out_strides, starts, puts, lengths, first_runs, places):
    """Divide the output pixels q0 .. q1 - 1 into panels of ``width`` columns, and each panel into runs within one
    output row.

    Run r is ``lengths[r]`` windows from ``starts[r]`` of the source on and goes to ``puts[r]``: its first column, plus
    ``panel`` for every panel before. Panel i has the runs first_runs[i] .. first_runs[i + 1] - 1. ``source`` is (place
    of image 0, of an image, of an output row, step of a column); places[q - q0] is where the pixel goes, by
    ``out_strides`` (first place, image, row, column).
    """
    h, w = out_hw
    b, oy, ox = q0 // (h * w), q0 // w % h, q0 % w
    r = full = j = 0
    q = q0
    first_runs[0] = 0
    while q < q1:
        length = min(q1 - q, w - ox, width - j)
        poke(starts, r, source[0] + b * source[1] + oy * source[2] + ox * source[3])
        poke(puts, r, full * panel + j)
        poke(lengths, r, length)
        to = out_strides[0] + b * out_strides[1] + oy * out_strides[2] + ox * out_strides[3]
        for t in range(length):
            poke(places, q - q0 + t, to + t * out_strides[3])
        r, q, j, ox = r + 1, q + length, j + length, ox + length
        if j == width or q == q1:
            full, j = full + 1, 0
            first_runs[full] = r
        if ox == w:
            ox, oy = 0, oy + 1
            if oy == h:
                oy, b = 0, b + 1


@kernel(allocates=False)
def pack_patches(source, starts, puts, lengths, r0, r1, first, offsets, depth, panels):
    """Fill the B panels of the runs r0 .. r1 - 1: row k is a tap, a column an output pixel. ``first`` is the place of
    the first of these panels; each has a row to spare.

    Two whole vectors are copied for every run: what is too much is overwritten by the next run or row. Columns of no
    run hold anything. One tap of all panels after the other: so an image is read in long pieces, and what comes
    ``AHEAD`` taps later is asked for in time (1.15 times as fast where the image lies in place).
    """
    n = lanes(panels)
    if peek(starts, r1 - 1) + peek(offsets, depth - 1) + 2 * n > source.size:  # the end of an image in place
        for k in range(depth):
            for r in range(r0, r1):
                here, at = puts[r] - first + k * 2 * n, starts[r] + offsets[k]
                for t in range(lengths[r]):
                    poke(panels, here + t, peek(source, at + t))
        return
    for k in range(depth):
        here, at, ahead = k * 2 * n - first, peek(offsets, k), peek(offsets, min(k + AHEAD, depth - 1))
        for r in range(r0, r1):
            there = peek(starts, r)
            prefetch(source, there + ahead)
            store(panels, peek(puts, r) + here, load(source, there + at))
            store(panels, peek(puts, r) + here + n, load(source, there + at + n))


@kernel(allocates=False)
def pack_pixels(source, starts, puts, lengths, runs, offsets, taps, panels, first):
    """Fill the B panel at panels[first] the other way round: row k is an output pixel, a column a tap. One vector of
    rows is to spare.
    """
    n = lanes(panels)
    zero = splat(panels, 0)
    for r in range(runs):
        length, at = lengths[r], starts[r]
        whole = at + length + n + offsets[taps - 1] <= source.size
        for t in range(0, length, n):
            here = first + (puts[r] + t) * 2 * n
            for j in range(0, taps, n):
                if whole:
                    block = square(zero)
                    for i in range(n):
                        block = tuple_setitem(block, i, load(source, at + t + offsets[min(j + i, taps - 1)]))
                        prefetch(source, at + t + offsets[min(j + i + 2 * n, offsets.size - 1)])
                    block = transpose(block)
                    for i in range(n):
                        store(panels, here + i * 2 * n + j, block[i])
                else:
                    for i in range(min(n, length - t)):
                        for tap in range(j, min(taps, j + n)):
                            panels[here + i * 2 * n + tap] = source[at + t + i + offsets[tap]]


@kernel(allocates=False)
def sorted_size(block, out_hw, channels, kinds, extra):
    """Places that the sorted rows of ``block`` output pixels take at most, with what may be written or read behind
    them.
    """
    h, w = out_hw
    rows = (block - 1) // w + 2 + ((block - 1) // (h * w) + 2) * extra[0]
    return channels * kinds[0] * kinds[1] * rows * (w + extra[1])


@kernel(allocates=False)
def pack_turned(filters, at, rows, window, apart, met, k0, depth, panel, to):
    """Fill an A panel with the filters of a gradient: row i, step k is tap ``met[(k0 + k) % met.size]`` of output
    channel ``(k0 + k) // met.size``, which lie ``apart`` from each other, and those of neighbouring rows ``window``.
    """
    c, t = k0 // met.size, k0 % met.size
    for k in range(depth):
        there, here = at + c * apart + peek(met, t), to + k * ROWS
        if rows == ROWS:
            for i in range(ROWS):
                poke(panel, here + i, peek(filters, there + i * window))
        else:
            for i in range(rows):
                poke(panel, here + i, peek(filters, there + i * window))
        t += 1
        if t == met.size:
            c, t = c + 1, 0
