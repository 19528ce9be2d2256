"""Convolution as a matrix product whose B panels are patches of the image. Read reference/conv2d.py first.

Write one output pixel of all channels as a column; then, per group,

    out[oc, pixel]        = sum over (ic, ky, kx) of weight[oc, (ic, ky, kx)] * patch[(ic, ky, kx), pixel]
    grad_weight[oc, tap]  = sum over pixel        of grad_out[oc, pixel]      * patch[tap, pixel]

The product is gemm.py's; patches.py cuts its B panels out of the image.

The gradient of the input, at stride 1, is again a convolution: of grad_out, by the filters turned by 180 degrees with
input and output channels exchanged. With stride 2 the pixels of the input fall into four kinds (even and odd rows and
columns), each of which meets only its own taps of the filter: four small convolutions, and none multiplies by zero.
"""

import numpy as np

from minicnn.kernels import winograd
from minicnn.kernels.gemm import ACTIVATIONS, COLUMN_PANELS, DEPTH, ROWS, matmul, pack, tile
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.patches import cut, pack_patches, pack_pixels, sort_rows, sorted_size, tap_offsets
from minicnn.kernels.simd import lanes, peek, poke

CHUNKS = 8  # jobs that are made at least, if the shapes allow


@kernel
def _convolve(
    start, stop, x, image, a, groups, rows, taps, window, step, corner, dilation, out_hw, total, block, row_blocks,
    base, bias, activation, out, out_strides,
):  # fmt: skip
    """Job: a block of the output channels (``rows``) of one group at a block of the ``total`` output pixels.

    ``out_strides`` tells where in ``out`` the first pixel goes, and how far the next image, channel, row and column
    lie.
    """
    width = 2 * lanes(out)
    kk = window[0] * window[1]
    blocks = (total + block - 1) // block
    padded = (rows + ROWS - 1) // ROWS * ROWS
    most = DEPTH // kk * kk if kk <= DEPTH else DEPTH  # whole channels where possible
    extra = ((window[0] - 1) * dilation[0] // step[0], (window[1] - 1) * dilation[1] // step[1])
    kinds = (min(step[0], (window[0] - 1) * dilation[0] + 1), min(step[1], (window[1] - 1) * dilation[1] + 1))
    period, pitch = out_hw[0] + extra[0], out_hw[1] + extra[1]
    plain = pixels_in_place(image, window, step, corner, dilation, out_hw)
    panels = np.empty(COLUMN_PANELS * width * (DEPTH + 1), out.dtype)
    channels = min((most - 1) // kk + 2, image[0] // groups)
    lines = np.empty(0 if plain else sorted_size(block, out_hw, channels, kinds, extra) + 3 * width, out.dtype)
    source = x if plain else lines
    runs = np.empty((block + 1, 4), np.int64)
    first_runs = np.empty(block // width + 2, np.int64)
    places = np.empty(block + width, np.int64)
    offsets = np.empty(DEPTH, np.int64)
    scratch = np.empty(ROWS * width, out.dtype)
    steps = np.arange(0, DEPTH * width, width)
    nothing = out[:0]
    pixel_strides = (out_strides[0], out_strides[1], out_strides[3], out_strides[4])
    for job in range(start, stop):
        group, part, q0 = job // (blocks * row_blocks), job // blocks % row_blocks, job % blocks * block
        q1 = min(total, q0 + block)
        m0 = rows * part // row_blocks // ROWS * ROWS
        m1 = rows * (part + 1) // row_blocks // ROWS * ROWS if part + 1 < row_blocks else rows
        b0, oy0 = q0 // (out_hw[0] * out_hw[1]), q0 // out_hw[1] % out_hw[0]
        b1, oy1 = (q1 - 1) // (out_hw[0] * out_hw[1]), (q1 - 1) // out_hw[1] % out_hw[0]
        sorted_rows = (b1 - b0) * period + oy1 - oy0 + 1 + extra[0]
        plane = sorted_rows * pitch
        if plain:
            at = (0, image[0] * image[1] * image[2], step[0] * image[2], 1)
            strides = (image[1] * image[2], 0, 0, image[2])
        else:
            at = (-(b0 * period + oy0) * pitch, period * pitch, pitch, 1)
            strides = (kinds[0] * kinds[1] * plane, kinds[1] * plane, plane, pitch)
        cut(q0, q1, width, out_hw, at, pixel_strides, runs, first_runs, places)
        for k0 in range(0, taps, most):
            depth = min(most, taps - k0)
            first = 0 if plain else group * (image[0] // groups) + k0 // kk
            tap_offsets(
                group * taps + k0 - first * kk, depth, window, dilation, (1, 1) if plain else kinds, strides, offsets
            )
            if not plain:
                here = (k0 + depth - 1) // kk - k0 // kk + 1
                sort_rows(x, image, first, here, b0, oy0, sorted_rows, period, step, kinds, corner, pitch, lines)
            # Chosen here and not for every tile: Numba counts references to arrays, which costs as much as 100
            # operations.
            tile_base, tile_bias = (base, bias) if k0 == 0 else (out, nothing)
            tile_activation = activation if k0 + depth == taps else 0
            for q in range(q0, q1, COLUMN_PANELS * width):
                stop_q = min(q1, q + COLUMN_PANELS * width)
                r0, r1 = first_runs[(q - q0) // width], first_runs[(stop_q - q0 + width - 1) // width]
                pack_patches(source, runs, r0, r1, offsets, depth, panels)
                for m in range(m0, m1, ROWS):
                    channel = group * rows + m
                    for p in range(q, stop_q, width):
                        tile(
                            depth, a, group * padded * taps + k0 * padded + m * depth,
                            panels, (p - q) * (depth + 1), steps,
                            tile_base, tile_bias, channel, tile_activation,
                            out, channel * out_strides[2], out_strides[2], places, p - q0,
                            min(ROWS, m1 - m), min(width, q1 - p), scratch,
                        )  # fmt: skip


@kernel
def _convolve_in_place(
    start, stop, x, image, a, groups, rows, taps, window, step, corner, dilation, out_hw, base, bias, activation, out,
    out_strides,
):  # fmt: skip
    """Job: one image and group, for few output channels: a packed panel would hardly be used again, so none is packed.

    The sorted rows are one long line for every tap: a tile takes its pixels from there, those between two
    rows of the output included, which go nowhere. LeNet-5's C1 and the gradients of first layers are like that.
    """
    width = 2 * lanes(out)
    kk = window[0] * window[1]
    channels = image[0] // groups
    extra = ((window[0] - 1) * dilation[0] // step[0], (window[1] - 1) * dilation[1] // step[1])
    kinds = (min(step[0], (window[0] - 1) * dilation[0] + 1), min(step[1], (window[1] - 1) * dilation[1] + 1))
    lines_high, pitch = out_hw[0] + extra[0], out_hw[1] + extra[1]
    plane = lines_high * pitch
    lines = np.zeros(channels * kinds[0] * kinds[1] * plane + 2 * width, out.dtype)
    offsets = np.empty(taps, np.int64)
    strides = (kinds[0] * kinds[1] * plane, kinds[1] * plane, plane, pitch)
    tap_offsets(0, taps, window, dilation, kinds, strides, offsets)
    pixels = out_hw[0] * pitch - extra[1]
    places = np.full(pixels + width, -1)
    for oy in range(out_hw[0]):
        for ox in range(out_hw[1]):
            places[oy * pitch + ox] = oy * out_strides[3] + ox * out_strides[4]
    scratch = np.empty(ROWS * width, out.dtype)
    padded = (rows + ROWS - 1) // ROWS * ROWS
    most = DEPTH // kk * kk if kk <= DEPTH else DEPTH
    nothing = out[:0]
    for job in range(start, stop):
        b, group = job // groups, job % groups
        sort_rows(x, image, group * channels, channels, b, 0, lines_high, lines_high, step, kinds, corner, pitch, lines)
        for k0 in range(0, taps, most):
            depth = min(most, taps - k0)
            tile_base, tile_bias = (base, bias) if k0 == 0 else (out, nothing)
            tile_activation = activation if k0 + depth == taps else 0
            for p in range(0, pixels, width):
                for m in range(0, rows, ROWS):
                    channel = group * rows + m
                    tile(
                        depth, a, group * padded * taps + k0 * padded + m * depth, lines, p, offsets[k0:],
                        tile_base, tile_bias, channel, tile_activation,
                        out, out_strides[0] + b * out_strides[1] + channel * out_strides[2], out_strides[2], places, p,
                        min(ROWS, rows - m), min(width, pixels - p), scratch,
                    )  # fmt: skip


@kernel(allocates=False)
def pixels_in_place(image, window, step, corner, dilation, out_hw):
    """Tell whether every window lies inside the image, neighbours one pixel apart: then nothing needs copying."""
    bottom = (out_hw[0] - 1) * step[0] + (window[0] - 1) * dilation[0] - corner[0]
    right = (out_hw[1] - 1) * step[1] + (window[1] - 1) * dilation[1] - corner[1]
    return step[1] == 1 and corner[0] == 0 and corner[1] == 0 and bottom < image[1] and right < image[2]


@kernel
def _pack_filters(start, stop, filters, rows, taps, most, panels):
    """Job: a block of depth ``most`` of one group. Pack its (rows, taps) matrix as A panels."""
    padded = (rows + ROWS - 1) // ROWS * ROWS
    blocks = (taps + most - 1) // most
    for job in range(start, stop):
        group, k0 = job // blocks, job % blocks * most
        depth = min(most, taps - k0)
        pack(filters, group * rows * taps + k0, taps, 1, rows, depth, ROWS, panels, group * padded * taps + k0 * padded)


def _correlate(x, filters, out, base, bias, activation, *, groups, step, corner, dilation, out_hw, out_strides):
    """Write to ``out`` the correlation of x with filters (C_out, C_in / groups, KH, KW), plus ``base`` and ``bias``."""
    n, image = x.shape[0], x.shape[1:]
    c_out, _, kh, kw = filters.shape
    rows, taps = c_out // groups, filters[0].size
    total, width = n * out_hw[0] * out_hw[1], 2 * lanes(x)
    if not total:
        return
    most = DEPTH // (kh * kw) * kh * kw if kh * kw <= DEPTH else DEPTH
    a = np.empty(groups * -(-rows // ROWS) * ROWS * taps + width, x.dtype)
    launch(_pack_filters, groups * -(-taps // most), filters.reshape(-1), rows, taps, most, a, work=rows * most / 4)
    if rows <= 2 * ROWS:
        launch(
            _convolve_in_place, n * groups, x.reshape(-1), image, a, groups, rows, taps, (kh, kw), step, corner,
            dilation, out_hw, base, bias, activation, out.reshape(-1), out_strides,
            work=rows * taps * out_hw[0] * out_hw[1] / 8,
        )  # fmt: skip
        return
    # A job sorts rows of which the neighbouring job needs some too: several rows of output share that.
    extra = (kh - 1) * dilation[0] // step[0]
    block = max(COLUMN_PANELS * width, (2 * extra + 2) * out_hw[1])
    blocks = -(-total // block)
    block = -(-total // (blocks * width)) * width
    blocks = -(-total // block)
    row_blocks = max(1, min(CHUNKS // (blocks * groups), rows // (8 * ROWS)))
    launch(
        _convolve, groups * blocks * row_blocks, x.reshape(-1), image, a, groups, rows, taps, (kh, kw), step, corner,
        dilation, out_hw, total, block, row_blocks, base, bias, activation, out.reshape(-1), out_strides,
        work=rows * taps * block / row_blocks / 8,
    )  # fmt: skip


@kernel
def _grad_weight(
    start, stop, grad_out, x, n, image, groups, rows, taps, window, step, corner, dilation, out_hw, blocks, chunks, sums
):
    """Job: a block of taps of one group, over one chunk of the batch; it owns its place in ``sums``."""
    width = 2 * lanes(sums)
    kk = window[0] * window[1]
    pixels = out_hw[0] * out_hw[1]
    extra = ((window[0] - 1) * dilation[0] // step[0], (window[1] - 1) * dilation[1] // step[1])
    kinds = (min(step[0], (window[0] - 1) * dilation[0] + 1), min(step[1], (window[1] - 1) * dilation[1] + 1))
    period, pitch = out_hw[0] + extra[0], out_hw[1] + extra[1]
    plain = pixels_in_place(image, window, step, corner, dilation, out_hw)
    block = min(COLUMN_PANELS * width, taps)
    channels = min((block - 1) // kk + 2, image[0] // groups)
    lines = np.empty(0 if plain else sorted_size(DEPTH, out_hw, channels, kinds, extra) + 3 * width, sums.dtype)
    source = x if plain else lines
    a = np.empty((rows + ROWS - 1) // ROWS * ROWS * DEPTH, sums.dtype)
    panel = np.empty(width * (DEPTH + width), sums.dtype)
    runs = np.empty((DEPTH + 1, 4), np.int64)
    first_runs = np.empty(2, np.int64)
    places = np.empty(DEPTH, np.int64)
    columns = np.arange(width)
    offsets = np.empty(block, np.int64)
    scratch = np.empty(ROWS * width, sums.dtype)
    steps = np.arange(0, DEPTH * width, width)
    nothing = sums[:0]
    for job in range(start, stop):
        chunk, group, tap0 = job // (groups * blocks), job // blocks % groups, job % blocks * block
        tap1 = min(taps, tap0 + block)
        begin, end = n * chunk // chunks * pixels, n * (chunk + 1) // chunks * pixels
        first = 0 if plain else group * (image[0] // groups) + tap0 // kk
        for q in range(begin, end, DEPTH):  # blocks of up to DEPTH pixels, which may belong to several images
            depth = min(DEPTH, end - q)
            base = sums if q > begin else nothing
            b0, oy0 = q // pixels, q // out_hw[1] % out_hw[0]
            b1, oy1 = (q + depth - 1) // pixels, (q + depth - 1) // out_hw[1] % out_hw[0]
            sorted_rows = (b1 - b0) * period + oy1 - oy0 + 1 + extra[0]
            plane = sorted_rows * pitch
            if plain:
                at = (0, image[0] * image[1] * image[2], step[0] * image[2], 1)
                strides = (image[1] * image[2], 0, 0, image[2])
            else:
                at = (-(b0 * period + oy0) * pitch, period * pitch, pitch, 1)
                strides = (kinds[0] * kinds[1] * plane, kinds[1] * plane, plane, pitch)
                here = (tap1 - 1) // kk - tap0 // kk + 1
                sort_rows(x, image, first, here, b0, oy0, sorted_rows, period, step, kinds, corner, pitch, lines)
            cut(q, q + depth, depth, out_hw, at, (0, 0, 0, 0), runs, first_runs, places)
            tap_offsets(
                group * taps + tap0 - first * kk,
                tap1 - tap0,
                window,
                dilation,
                (1, 1) if plain else kinds,
                strides,
                offsets,
            )
            k = 0
            while k < depth:  # A: the pixels of one image after the other
                b, p = (q + k) // pixels, (q + k) % pixels
                run = min(depth - k, pixels - p)
                for m in range(0, rows, ROWS):
                    at_g = ((b * groups + group) * rows + m) * pixels + p
                    pack(grad_out, at_g, pixels, 1, min(ROWS, rows - m), run, ROWS, a, m * depth + k * ROWS)
                k += run
            for tap in range(tap0, tap1, width):
                count = min(width, tap1 - tap)
                pack_pixels(source, runs, 0, first_runs[1], offsets[tap - tap0 :], count, panel)
                for m in range(0, rows, ROWS):
                    tile(
                        depth, a, m * depth, panel, 0, steps, base, nothing, 0, 0,
                        sums, ((chunk * groups + group) * rows + m) * taps + tap, taps, columns, 0,
                        min(ROWS, rows - m), count, scratch,
                    )  # fmt: skip


def _dense(weight, table):
    """Return the filters (C_out, C_in, KH, KW) of a connection table, zero where there is no connection."""
    filters = np.zeros((*table.shape, *weight.shape[1:]), weight.dtype)
    filters[table] = weight
    return filters


def _is_linear(image, window, padding, groups):
    """Tell whether the one window covers the whole image, as in LeNet-5's C5: then the layer is a matrix product."""
    return window == image and padding == ((0, 0), (0, 0)) and groups == 1


def conv2d_forward(
    x, weight, bias, *, stride, padding, dilation, groups, table, out_hw, residual=None, activation=None
):
    """X (N, C_in, H, W), weight (C_out, C_in // groups, KH, KW), bias (C_out,) or None -> (N, C_out, H_out, W_out)."""
    filters = weight if table is None else _dense(weight, table)
    n, c_out, window = x.shape[0], filters.shape[0], filters.shape[2:]
    if n and _is_linear(x.shape[2:], window, padding, groups) and residual is None and activation is None:
        return matmul(x.reshape(n, -1), filters.reshape(c_out, -1).T, bias).reshape(n, c_out, 1, 1)
    out = np.empty((n, c_out, *out_hw), x.dtype)
    nothing = out[:0].reshape(-1)
    base, shift = nothing if residual is None else residual.reshape(-1), nothing if bias is None else bias
    if n and winograd.wins(*filters.shape[:2], window, stride, dilation, groups, out_hw):
        winograd.correlate(x, filters, out, base, shift, ACTIVATIONS[activation], (padding[0][0], padding[1][0]))
        return out
    h_out, w_out = out_hw
    shape = out_hw
    if window == (1, 1) and stride == (1, 1) and padding == ((0, 0), (0, 0)):  # rows of pixels have no ends
        x, shape = x.reshape(*x.shape[:2], 1, h_out * w_out), (1, h_out * w_out)
    _correlate(
        x, filters, out, base, shift, ACTIVATIONS[activation], groups=groups, step=stride,
        corner=(padding[0][0], padding[1][0]), dilation=dilation, out_hw=shape,
        out_strides=(0, c_out * h_out * w_out, h_out * w_out, shape[1], 1),
    )  # fmt: skip
    return out


@kernel
def _turn(start, stop, filters, groups, rows, columns, window, corner, step, met, back):
    """Job: up to 16 input channels of a group. Collect their filters of all output channels, from the last tap to the
    first.

    Of the window only ``met`` taps count, ``step`` apart, from ``corner`` on.
    """
    kh, kw = met
    blocks = (columns + 15) // 16
    for job in range(start, stop):
        group, ic0 = job // blocks, job % blocks * 16
        for oc in range(rows):
            for ic in range(ic0, min(columns, ic0 + 16)):
                here = ((group * columns + ic) * rows + oc) * kh * kw
                there = (((group * rows + oc) * columns + ic) * window[0] + corner[0]) * window[1] + corner[1]
                for y in range(kh):
                    for x in range(kw):
                        tap = there + (kh - 1 - y) * step[0] * window[1] + (kw - 1 - x) * step[1]
                        poke(back, here + y * kw + x, peek(filters, tap))


def _turned(filters, groups, corner, step, met):
    """Return the filters (C_in, C_out // groups, *met) turned by 180 degrees, input and output channels exchanged."""
    c_out, per_group, *window = filters.shape
    back = np.empty((per_group * groups, c_out // groups, *met), filters.dtype)
    launch(
        _turn, groups * -(-per_group // 16), filters.reshape(-1), groups, c_out // groups, per_group, tuple(window),
        corner, step, met, back.reshape(-1), work=back[0].size * 16,
    )  # fmt: skip
    return back


def _meeting(kind, kernel, stride, dilation, before):
    """Return which taps input pixels kind, kind + stride, ... meet: (first tap, its step, how many, first output,
    dilation).

    Pixel kind + i * stride and tap t meet at output place (kind + before - t * dilation) / stride + i.
    """
    met = [t for t in range(kernel) if (kind + before - t * dilation) % stride == 0]
    if not met:
        return 0, 1, 0, 0, 1
    places = [(kind + before - t * dilation) // stride for t in met]
    return (
        met[0],
        met[1] - met[0] if len(met) > 1 else 1,
        len(met),
        places[-1],
        places[0] - places[1] if len(met) > 1 else 1,
    )


def conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out) -> (N, C_in, H, W)."""
    filters = weight if table is None else _dense(weight, table)
    n, c_out = grad_out.shape[:2]
    _, c_in, h, w = input_shape
    window = filters.shape[2:]
    if n and _is_linear((h, w), window, padding, groups):
        return matmul(grad_out.reshape(n, c_out), filters.reshape(c_out, -1)).reshape(input_shape)
    grad_input = np.empty(input_shape, grad_out.dtype)
    nothing = grad_input[:0].reshape(-1)
    if window == (1, 1) and stride == (1, 1) and padding == ((0, 0), (0, 0)):
        grad_out, h, w = grad_out.reshape(n, c_out, 1, h * w), 1, h * w
    if n and winograd.wins(*filters.shape[:2], window, stride, dilation, groups, (h, w)):
        back = _turned(filters, 1, (0, 0), (1, 1), (3, 3))
        winograd.correlate(grad_out, back, grad_input, nothing, nothing, 0, (2 - padding[0][0], 2 - padding[1][0]))
        return grad_input
    for ky in range(min(stride[0], h)):
        top, step_y, kh, oy, hole_y = _meeting(ky, window[0], stride[0], dilation[0], padding[0][0])
        for kx in range(min(stride[1], w)):
            left, step_x, kw, ox, hole_x = _meeting(kx, window[1], stride[1], dilation[1], padding[1][0])
            if kh * kw == 0:
                grad_input[:, :, ky :: stride[0], kx :: stride[1]] = 0
                continue
            back = _turned(filters, groups, (top, left), (step_y, step_x), (kh, kw))
            _correlate(
                grad_out, back, grad_input, nothing, nothing, 0, groups=groups, step=(1, 1),
                corner=(-oy, -ox), dilation=(hole_y, hole_x),
                out_hw=(len(range(ky, h, stride[0])), len(range(kx, w, stride[1]))),
                out_strides=(ky * w + kx, c_in * h * w, h * w, w * stride[0], stride[1]),
            )  # fmt: skip
    return grad_input


def conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> the shape of the weight."""
    n, c_out, *out_hw = grad_out.shape
    kh, kw = weight_shape[-2:]
    rows, taps = c_out // groups, x.shape[1] // groups * kh * kw
    if n and _is_linear(x.shape[2:], (kh, kw), padding, groups):
        sums = matmul(grad_out.reshape(n, c_out).T, x.reshape(n, -1))
    elif grad_out.size and winograd.wins(c_out, x.shape[1], (kh, kw), stride, dilation, groups, out_hw):
        sums = winograd.grad_weight(grad_out, x, (padding[0][0], padding[1][0]))
    elif not grad_out.size:
        sums = np.zeros((c_out, taps), x.dtype)
    else:
        image = x.shape[1:]
        if (kh, kw) == (1, 1) and stride == (1, 1) and padding == ((0, 0), (0, 0)):
            image, out_hw = (image[0], 1, image[1] * image[2]), (1, out_hw[0] * out_hw[1])
        blocks = -(-taps // (COLUMN_PANELS * 2 * lanes(x)))
        # With few blocks of taps the batch is split too. The shapes alone decide, so that every number of threads
        # adds the same numbers in the same order.
        chunks = max(1, min(n, CHUNKS // (groups * blocks)))
        parts = np.empty((chunks, c_out, taps), x.dtype)
        launch(
            _grad_weight, chunks * groups * blocks, grad_out.reshape(-1), x.reshape(-1), n, image, groups, rows,
            taps, (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, tuple(out_hw), blocks, chunks,
            parts.reshape(-1), work=grad_out.size / c_out * rows * taps / (chunks * blocks) / 8,
        )  # fmt: skip
        sums = parts.sum(axis=0) if chunks > 1 else parts[0]
    filters = sums.reshape(c_out, x.shape[1] // groups, kh, kw)
    return filters if table is None else filters[table]


def conv2d_grad_bias(grad_out):
    """grad_out (N, C_out, H_out, W_out) -> (C_out,)."""
    return grad_out.sum(axis=(0, 2, 3))
