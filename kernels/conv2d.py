"""Convolution as a matrix product whose B panels are patches of the image. Read reference/conv2d.py first.

Write one output pixel of all channels as a column; then, per group,

    out[oc, pixel]        = sum over (ic, ky, kx) of weight[oc, (ic, ky, kx)] * patch[(ic, ky, kx), pixel]
    grad_weight[oc, tap]  = sum over pixel        of grad_out[oc, pixel]      * patch[tap, pixel]

The patch matrix is KH * KW times as large as the image, so it never exists: its panels are cut out of the image
when the product needs them (*implicit im2col*). Pixels are counted through the whole batch, ``q = b * P + p``
with P = H_out * W_out, so that small maps (LeNet-5's C5 has one pixel) fill whole panels too.

The gradient of the input, at stride 1, is again a convolution: of grad_out, by the filters turned by 180 degrees with
input and output channels exchanged. At other strides, and where the padded grad_out would be
mostly zeros, the product weight' * grad_out gives what each tap receives, and every tile of it is added to the image
at once (``_scatter``).
"""

import numpy as np

from minicnn.kernels import geometry
from minicnn.kernels.gemm import COLUMN_PANELS, DEPTH, ROWS, pack, tile
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import lanes, load, store

SCATTERED_TAPS = 192  # rows of the product in a job of grad_input: its panels of weights stay in the cache
CHUNKS = 8  # jobs that a gradient makes at least, if the batch allows


@kernel
def inside(first, step, count, size):
    """Return t0, t1: exactly for t0 <= t < t1 (within 0 .. count) lies first + t * step in 0 .. size - 1."""
    t0 = 0 if first >= 0 else min(count, (step - 1 - first) // step)
    t1 = 0 if first >= size else min(count, (size - 1 - first) // step + 1)
    return t0, max(t0, t1)


@kernel
def _cut(q, count, image, channel, out, window, step, corner, dilation, runs):
    """Split the output pixels q .. q + count - 1 into runs within one row; return how many there are.

    A run is (first column of the panel, length, place in x of its first tap, y and x of that tap, whether all its
    taps lie inside the image). ``image`` is (C, H, W) of x, ``channel`` the first one of the group.
    """
    channels, h, w = image
    pixels = out[0] * out[1]
    j = r = 0
    while j < count:
        b, p = (q + j) // pixels, (q + j) % pixels
        oy, ox = p // out[1], p % out[1]
        length = min(count - j, out[1] - ox)
        y, x = oy * step[0] - corner[0], ox * step[1] - corner[1]
        y_end = y + (window[0] - 1) * dilation[0]
        x_end = x + (window[1] - 1) * dilation[1] + (length - 1) * step[1]
        runs[r, 0], runs[r, 1] = j, length
        runs[r, 2], runs[r, 3], runs[r, 4] = ((b * channels + channel) * h + y) * w + x, y, x
        runs[r, 5] = y >= 0 and x >= 0 and y_end < h and x_end < w
        j += length
        r += 1
    return r


@kernel
def _pack_patches(x, image, runs, n_runs, window, step, dilation, k0, depth, panel):
    """Fill a B panel: row k is tap number k0 + k, counted as (ic, ky, kx); a column is an output pixel.

    A tap outside the image is zero. Columns that no run covers are left as they are: nobody stores them.
    """
    n = lanes(panel)
    _, h, w = image
    kh, kw = window
    kx, ky, ic = k0 % kw, k0 // kw % kh, k0 // (kh * kw)
    for k in range(depth):
        offset = (ic * h + ky * dilation[0]) * w + kx * dilation[1]
        for r in range(n_runs):
            length = runs[r, 1]
            here, at = k * 2 * n + runs[r, 0], runs[r, 2] + offset
            t0, t1 = 0, length
            if not runs[r, 5]:
                y, first = runs[r, 3] + ky * dilation[0], runs[r, 4] + kx * dilation[1]
                t0, t1 = inside(first, step[1], length, w) if 0 <= y < h else (length, length)
                for t in range(t0):
                    panel[here + t] = 0
                for t in range(t1, length):
                    panel[here + t] = 0
            if step[1] == 1 and t0 == 0 and t1 == length and at + 2 * n <= x.size:
                # Whole vectors: what is too much is overwritten by the next run or row (a panel has one to spare).
                store(panel, here, load(x, at))
                if length > n:
                    store(panel, here + n, load(x, at + n))
            else:
                for t in range(t0, t1):
                    panel[here + t] = x[at + t * step[1]]
        kx += 1
        if kx == kw:
            kx, ky = 0, ky + 1
            if ky == kh:
                ky, ic = 0, ic + 1


@kernel
def _convolve(start, stop, x, image, a, groups, rows, taps, window, step, corner, dilation, out, out_hw, total):
    """Job: all channels (``rows``) of one group at one block of the ``total`` output pixels."""
    width = 2 * lanes(out)
    pixels = out_hw[0] * out_hw[1]
    blocks = (total + COLUMN_PANELS * width - 1) // (COLUMN_PANELS * width)
    padded = (rows + ROWS - 1) // ROWS * ROWS
    panels = np.zeros((COLUMN_PANELS, width * (DEPTH + 1)), out.dtype)
    runs = np.empty((width, 6), np.int64)
    scratch = np.empty(ROWS * width, out.dtype)
    straddling = np.empty(ROWS * width, out.dtype)
    for job in range(start, stop):
        group = job // blocks
        q0 = job % blocks * COLUMN_PANELS * width
        q1 = min(total, q0 + COLUMN_PANELS * width)
        for k0 in range(0, taps, DEPTH):
            depth = min(DEPTH, taps - k0)
            for q in range(q0, q1, width):
                first = group * (image[0] // groups)
                columns = min(width, q1 - q)
                n_runs = _cut(q, columns, image, first, out_hw, window, step, corner, dilation, runs)
                _pack_patches(x, image, runs, n_runs, window, step, dilation, k0, depth, panels[(q - q0) // width])
            for m in range(0, rows, ROWS):
                here = min(ROWS, rows - m)
                channel = group * rows + m
                a_at = group * padded * taps + k0 * padded + m * depth
                for q in range(q0, q1, width):
                    panel = panels[(q - q0) // width]
                    columns = min(width, q1 - q)
                    b, p = q // pixels, q % pixels
                    if p + columns <= pixels:
                        c_at = (b * groups * rows + channel) * pixels + p
                        tile(depth, a, a_at, panel, 0, out, c_at, pixels, here, columns, True, scratch)
                    else:  # these pixels belong to several images
                        tile(depth, a, a_at, panel, 0, straddling, 0, width, ROWS, width, False, scratch)
                        for j in range(columns):
                            b, p = (q + j) // pixels, (q + j) % pixels
                            for i in range(here):
                                out[(b * groups * rows + channel + i) * pixels + p] += straddling[i * width + j]


@kernel
def _pack_filters(start, stop, filters, rows, taps, panels):
    """Job: a group. Pack its (rows, taps) matrix as A panels."""
    padded = (rows + ROWS - 1) // ROWS * ROWS
    for group in range(start, stop):
        for k0 in range(0, taps, DEPTH):
            depth = min(DEPTH, taps - k0)
            for m in range(0, rows, ROWS):
                source = (group * rows + m) * taps + k0
                here = group * padded * taps + k0 * padded + m * depth
                pack(filters, source, taps, 1, min(ROWS, rows - m), depth, ROWS, panels, here)


def _correlate(x, filters, out, *, groups, step, corner, dilation):
    """Add to ``out`` the correlation of x with filters (C_out, C_in // groups, KH, KW)."""
    n, c_out, *out_hw = out.shape
    rows, taps = c_out // groups, filters[0].size
    a = np.zeros(groups * -(-rows // ROWS) * ROWS * taps, x.dtype)
    launch(_pack_filters, groups, filters.reshape(-1), rows, taps, a, work=rows * taps)
    total, width = n * out_hw[0] * out_hw[1], COLUMN_PANELS * 2 * lanes(x)
    launch(
        _convolve, groups * -(-total // width), x.reshape(-1), x.shape[1:], a, groups, rows, taps, filters.shape[2:],
        step, corner, dilation, out.reshape(-1), tuple(out_hw), total,
        work=rows * taps * min(width, total) / 8,
    )  # fmt: skip
    return out


@kernel
def _scatter(
    start,
    stop,
    grad_out,
    filters,
    batch,
    image,
    groups,
    rows,
    blocks,
    chunks,
    window,
    step,
    corner,
    dilation,
    out_hw,
    grad,
):
    """Job: a block of input channels of one group, over one chunk of the batch; it owns them in ``grad``.

    A tile holds what 6 taps receive from a row of output pixels: sum over oc of weight[oc, tap] * grad_out[oc, pixel].
    """
    n = lanes(grad)
    width = 2 * n
    kh, kw = window
    _, h, w = image
    c_in, pixels = image[0] // groups, out_hw[0] * out_hw[1]
    most = -(-c_in // blocks) * kh * kw
    a = np.zeros((most + ROWS - 1) // ROWS * ROWS * rows, grad.dtype)
    panel = np.zeros(width * rows, grad.dtype)
    received = np.empty(ROWS * width, grad.dtype)
    runs = np.empty((width, 6), np.int64)
    for job in range(start, stop):
        chunk, group, block = job // (groups * blocks), job // blocks % groups, job % blocks
        ic0, ic1 = c_in * block // blocks, c_in * (block + 1) // blocks
        taps = (ic1 - ic0) * kh * kw
        for tap in range(0, taps, ROWS):
            source = group * rows * c_in * kh * kw + ic0 * kh * kw + tap
            pack(filters, source, 1, c_in * kh * kw, min(ROWS, taps - tap), rows, ROWS, a, tap * rows)
        end = batch * (chunk + 1) // chunks * pixels
        for q in range(batch * chunk // chunks * pixels, end, width):
            columns = min(width, end - q)
            n_runs = _cut(q, columns, image, group * c_in + ic0, out_hw, window, step, corner, dilation, runs)
            j = 0
            while j < columns:  # the pixels of one image after the other
                b, p = (q + j) // pixels, (q + j) % pixels
                count = min(columns - j, pixels - p)
                pack(grad_out, (b * groups + group) * rows * pixels + p, 1, pixels, count, rows, width, panel, j)
                j += count
            for tap in range(0, taps, ROWS):
                tile(rows, a, tap * rows, panel, 0, received, 0, width, ROWS, width, False, received)
                for i in range(min(ROWS, taps - tap)):
                    kx, ky, ic = (tap + i) % kw, (tap + i) // kw % kh, (tap + i) // (kh * kw)
                    offset = (ic * h + ky * dilation[0]) * w + kx * dilation[1]
                    for r in range(n_runs):
                        here, at = i * width + runs[r, 0], runs[r, 2] + offset
                        t0, t1 = 0, runs[r, 1]
                        if not runs[r, 5]:
                            y, first = runs[r, 3] + ky * dilation[0], runs[r, 4] + kx * dilation[1]
                            t0, t1 = inside(first, step[1], t1, w) if 0 <= y < h else (0, 0)
                        t = t0
                        if step[1] == 1:
                            while t + n <= t1:
                                store(grad, at + t, load(grad, at + t) + load(received, here + t))
                                t += n
                        for rest in range(t, t1):
                            grad[at + rest * step[1]] += received[here + rest]


@kernel
def _tap_rows(tap, count, image, window, dilation, rows):
    """Split the taps tap .. tap + count - 1 into rows of the filter; return how many there are.

    A row is (first column of the panel, length, how far from the window's first tap in memory, ic, ky, kx).
    """
    kh, kw = window
    j = r = 0
    while j < count:
        kx, ky, ic = (tap + j) % kw, (tap + j) // kw % kh, (tap + j) // (kh * kw)
        length = min(count - j, kw - kx)
        rows[r, 0], rows[r, 1], rows[r, 3], rows[r, 4] = j, length, ky, kx
        rows[r, 2] = (ic * image[1] + ky * dilation[0]) * image[2] + kx * dilation[1]
        j += length
        r += 1
    return r


@kernel
def _pack_taps(x, image, runs, n_runs, rows, n_rows, step, dilation, panel):
    """Fill a B panel the other way round: row k is an output pixel, a column is a tap of its window."""
    n = lanes(panel)
    _, h, w = image
    for r in range(n_runs):
        k0, length, at = runs[r, 0], runs[r, 1], runs[r, 2]
        end = at + (length - 1) * step[1] + rows[n_rows - 1, 2]
        if runs[r, 5] and dilation[1] == 1 and end + 2 * n <= x.size:
            # Whole vectors: what is too much is overwritten by the next row of taps or pixel (one row is to spare).
            for k in range(length):
                here, there = (k0 + k) * 2 * n, at + k * step[1]
                for i in range(n_rows):
                    store(panel, here + rows[i, 0], load(x, there + rows[i, 2]))
                    if rows[i, 1] > n:
                        store(panel, here + rows[i, 0] + n, load(x, there + rows[i, 2] + n))
            continue
        for i in range(n_rows):
            y = runs[r, 3] + rows[i, 3] * dilation[0]
            for j in range(rows[i, 1]):
                offset = j * dilation[1]
                t0, t1 = 0, length
                if not runs[r, 5]:
                    first = runs[r, 4] + rows[i, 4] * dilation[1] + offset
                    t0, t1 = inside(first, step[1], length, w) if 0 <= y < h else (length, length)
                here = k0 * 2 * n + rows[i, 0] + j
                for t in range(t0):
                    panel[here + t * 2 * n] = 0
                for t in range(t0, t1):
                    panel[here + t * 2 * n] = x[at + rows[i, 2] + offset + t * step[1]]
                for t in range(t1, length):
                    panel[here + t * 2 * n] = 0


@kernel
def _grad_weight(
    start, stop, grad_out, x, n, image, groups, rows, taps, window, step, corner, dilation, out_hw, blocks, chunks, sums
):
    """Job: a block of taps of one group, over one chunk of the batch; it owns its place in ``sums``."""
    width = 2 * lanes(sums)
    pixels = out_hw[0] * out_hw[1]
    padded = (rows + ROWS - 1) // ROWS * ROWS
    a = np.zeros(padded * DEPTH, sums.dtype)
    panel = np.zeros(width * (DEPTH + 1), sums.dtype)
    runs = np.empty((DEPTH, 6), np.int64)
    tap_rows = np.empty((width, 5), np.int64)
    scratch = np.empty(ROWS * width, sums.dtype)
    for job in range(start, stop):
        chunk, group, block = job // (groups * blocks), job // blocks % groups, job % blocks
        tap0 = block * COLUMN_PANELS * width
        tap1 = min(taps, tap0 + COLUMN_PANELS * width)
        q, q1 = n * chunk // chunks * pixels, n * (chunk + 1) // chunks * pixels
        while q < q1:  # blocks of up to DEPTH pixels, which may belong to several images
            depth = min(DEPTH, q1 - q)
            first = group * (image[0] // groups)
            n_runs = _cut(q, depth, image, first, out_hw, window, step, corner, dilation, runs)
            k = 0
            while k < depth:
                b, p = (q + k) // pixels, (q + k) % pixels
                run = min(depth - k, pixels - p)
                for m in range(0, rows, ROWS):
                    source = (b * groups * rows + group * rows + m) * pixels + p
                    pack(grad_out, source, pixels, 1, min(ROWS, rows - m), run, ROWS, a, m * depth + k * ROWS)
                k += run
            for tap in range(tap0, tap1, width):
                columns = min(width, tap1 - tap)
                n_rows = _tap_rows(tap, columns, image, window, dilation, tap_rows)
                _pack_taps(x, image, runs, n_runs, tap_rows, n_rows, step, dilation, panel)
                for m in range(0, rows, ROWS):
                    c_at = ((chunk * groups + group) * rows + m) * taps + tap
                    here = min(ROWS, rows - m)
                    tile(depth, a, m * depth, panel, 0, sums, c_at, taps, here, columns, True, scratch)
            q += depth


def _dense(weight, table):
    """Return the filters (C_out, C_in, KH, KW) of a connection table, zero where there is no connection."""
    filters = np.zeros((*table.shape, *weight.shape[1:]), weight.dtype)
    filters[table] = weight
    return filters


def conv2d_forward(x, weight, bias, *, stride, padding, dilation, groups, table, out_hw):
    """X (N, C_in, H, W), weight (C_out, C_in // groups, KH, KW), bias (C_out,) or None -> (N, C_out, H_out, W_out)."""
    filters = weight if table is None else _dense(weight, table)
    shape = (x.shape[0], filters.shape[0], *out_hw)
    if bias is None:
        out = np.zeros(shape, x.dtype)
    else:
        out = np.empty(shape, x.dtype)
        out[...] = bias[:, None, None]
    corner = (padding[0][0], padding[1][0])
    return _correlate(x, filters, out, groups=groups, step=stride, corner=corner, dilation=dilation)


def conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out) -> (N, C_in, H, W)."""
    filters = weight if table is None else _dense(weight, table)
    n, c_out, *out_hw = grad_out.shape
    _, c_in, h, w = input_shape
    per_group, kh, kw = filters.shape[1:]
    grad_input = np.zeros(input_shape, grad_out.dtype)
    if stride == (1, 1) and h * w <= 1.3 * out_hw[0] * out_hw[1]:
        turned = filters[:, :, ::-1, ::-1].reshape(groups, c_out // groups, per_group, kh, kw)
        turned = np.ascontiguousarray(turned.transpose(0, 2, 1, 3, 4)).reshape(c_in, c_out // groups, kh, kw)
        spans = (geometry.span(kh, dilation[0]), geometry.span(kw, dilation[1]))
        corner = (spans[0] - 1 - padding[0][0], spans[1] - 1 - padding[1][0])
        return _correlate(grad_out, turned, grad_input, groups=groups, step=(1, 1), corner=corner, dilation=dilation)
    blocks = min(per_group, max(1, per_group * kh * kw // SCATTERED_TAPS))
    chunks = max(1, min(n, CHUNKS // (groups * blocks)))
    launch(
        _scatter, chunks * groups * blocks, grad_out.reshape(-1), filters.reshape(-1), n, input_shape[1:], groups,
        c_out // groups, blocks, chunks, (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, tuple(out_hw),
        grad_input.reshape(-1), work=grad_out.size * per_group * kh * kw / (chunks * blocks * groups) / 8,
    )  # fmt: skip
    return grad_input


def conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> the shape of the weight."""
    n, c_out, *out_hw = grad_out.shape
    kh, kw = weight_shape[-2:]
    rows, taps = c_out // groups, x.shape[1] // groups * kh * kw
    blocks = -(-taps // (COLUMN_PANELS * 2 * lanes(x)))
    # With few blocks of taps the batch is split too. The shapes alone decide, so that every number of threads
    # adds the same numbers in the same order.
    chunks = max(1, min(n, CHUNKS // (groups * blocks)))
    sums = np.zeros((chunks, c_out, taps), x.dtype)
    launch(
        _grad_weight, chunks * groups * blocks, grad_out.reshape(-1), x.reshape(-1), n, x.shape[1:], groups, rows,
        taps, (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, tuple(out_hw), blocks, chunks,
        sums.reshape(-1), work=grad_out.size / c_out * rows * taps / (chunks * blocks) / 8,
    )  # fmt: skip
    filters = sums.sum(axis=0).reshape(c_out, x.shape[1] // groups, kh, kw)
    return filters if table is None else filters[table]


def conv2d_grad_bias(grad_out):
    """grad_out (N, C_out, H_out, W_out) -> (C_out,)."""
    return grad_out.sum(axis=(0, 2, 3))
