"""Convolution as a matrix product whose B panels are patches of the image. Read reference/conv2d.py first.

Write one output pixel of all channels as a column; then, per group,

    out[oc, pixel]        = sum over (ic, ky, kx) of weight[oc, (ic, ky, kx)] * patch[(ic, ky, kx), pixel]
    grad_weight[oc, tap]  = sum over pixel        of grad_out[oc, pixel]      * patch[tap, pixel]

The product is gemm.py's; patches.py cuts its B panels out of the image.

The gradient of the input, at stride 1, is again a convolution: of grad_out, by the filters turned by 180 degrees with
input and output channels exchanged. With stride 2 the pixels of the input fall into four kinds (even and odd rows and
columns), each of which meets only its own taps of the filter: four small convolutions, and none multiplies by zero.

What was gained by what (EPYC with AVX2, float32, one thread):

- Filters of gradients packed as they lie, not turned in memory first: 1.3 to 2.2 times as fast for 1 x 1 windows.
- Rows of the image asked for while those before are copied: 1.13 times for 3 x 3 windows at stride 2.
- Runs of pixels as flat arrays, two whole vectors each and no branch: 1.05 times, 1.4 for LeNet-5's narrow maps.
- Up to 36 output channels in place, without panels of pixels: 1.02 to 1.24 times. With more, the pixels between two
  rows, which a tile meets there too, cost more than packing.
- Their tiles start anew with every row of the output, and 16 follow each other for 6 channels: 1.13 to 1.25 times for 3
  channels at stride 2 and LeNet-5's C1.
- Output channels divided only among threads, as every part packs the pixels anew: 1.2 times for 1 x 1 windows.
"""

from functools import lru_cache

import numpy as np

from minicnn.kernels import winograd
from minicnn.kernels.gemm import ACTIVATIONS, CHUNKS, COLUMN_PANELS, DEPTH, ROW_PANELS, ROWS, matmul, pack, tile, tiles
from minicnn.kernels.jit import get_num_threads, kernel, launch, second_level_cache
from minicnn.kernels.patches import cut, pack_patches, pack_pixels, pack_turned, sort_rows, sorted_size, tap_offsets
from minicnn.kernels.simd import lanes, peek

FEW_ROWS = 6 * ROWS  # up to so many output channels, packing panels of pixels costs more than it is worth
TILES_IN_PLACE = 16  # of six output channels, one after the other
IN_PLACE = second_level_cache() // 16  # numbers of sorted rows that a job takes its pixels from


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
    panels = np.empty(COLUMN_PANELS * width * (DEPTH + 1) + width, out.dtype)
    channels = min((most - 1) // kk + 2, image[0] // groups)
    lines = np.empty(0 if plain else sorted_size(block, out_hw, channels, kinds, extra) + 3 * width, out.dtype)
    source = x if plain else lines
    starts, puts, lengths = np.empty(block + 1, np.int64), np.empty(block + 1, np.int64), np.empty(block + 1, np.int64)
    first_runs = np.empty(block // width + 2, np.int64)
    panel = width * (DEPTH + 1)
    places = np.empty(block + width, np.int64)
    offsets = np.empty(DEPTH, np.int64)
    scratch = np.empty(ROWS * width, out.dtype)
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
        cut(
            q0, q1, width, panel, out_hw, at, pixel_strides, starts, puts, lengths, first_runs, places
        )  # fmt: skip
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
                first_panel, stop_panel = (q - q0) // width, (stop_q - q0 + width - 1) // width
                pack_patches(
                    source, starts, puts, lengths, first_runs[first_panel], first_runs[stop_panel],
                    first_panel * panel, offsets, depth, panels,
                )  # fmt: skip
                channel = group * rows + m0
                tiles(
                    depth, a, group * padded * taps + k0 * padded + m0 * depth, panels, 0, panel, tile_base, tile_bias,
                    channel, tile_activation, out, channel * out_strides[2], out_strides[2], places, q - q0, m1 - m0,
                    stop_q - q, scratch,
                )  # fmt: skip


@kernel
def _convolve_in_place(
    start, stop, x, image, a, groups, rows, taps, window, step, corner, dilation, out_hw, high, base, bias, activation,
    out, out_strides,
):  # fmt: skip
    """Job: ``high`` output rows of one image and group, where packing panels costs more than it is worth.

    A tile takes its pixels from the sorted rows. If a row of the output fills tiles, the last one of a row overlaps the
    one before, unless its sums go on. Narrow rows are one long line for every tap: the pixels between two rows of the
    output are worked out too, and go nowhere. First layers, their gradients and LeNet-5 are like that.
    """
    width = 2 * lanes(out)
    kk = window[0] * window[1]
    channels, parts = image[0] // groups, (out_hw[0] + high - 1) // high
    extra = ((window[0] - 1) * dilation[0] // step[0], (window[1] - 1) * dilation[1] // step[1])
    kinds = (min(step[0], (window[0] - 1) * dilation[0] + 1), min(step[1], (window[1] - 1) * dilation[1] + 1))
    held, pitch = high + extra[0], out_hw[1] + extra[1]
    plane = held * pitch
    lines = np.zeros(channels * kinds[0] * kinds[1] * plane + 3 * width, out.dtype)
    offsets = np.empty(taps, np.int64)
    strides = (kinds[0] * kinds[1] * plane, kinds[1] * plane, plane, pitch)
    tap_offsets(0, taps, window, dilation, kinds, strides, offsets)
    places = np.full(high * pitch + width, -1)
    for oy in range(high):
        for ox in range(out_hw[1]):
            places[oy * pitch + ox] = oy * out_strides[3] + ox * out_strides[4]
    scratch = np.empty(ROWS * width, out.dtype)
    padded = (rows + ROWS - 1) // ROWS * ROWS
    most = DEPTH // kk * kk if kk <= DEPTH else DEPTH
    overlap = out_hw[1] >= width and taps <= most
    across = (out_hw[1] + width - 1) // width
    tile_starts = np.arange(high * across if overlap else (high * pitch + width - 1) // width)
    for t in range(tile_starts.size):
        tile_starts[t] = t // across * pitch + min(t % across * width, out_hw[1] - width) if overlap else t * width
    nothing = out[:0]
    for job in range(start, stop):
        b, group, oy0 = job // (groups * parts), job // parts % groups, job % parts * high
        rows_here = min(high, out_hw[0] - oy0)
        pixels = rows_here * pitch - extra[1]
        here = tile_starts[: rows_here * across if overlap else (pixels + width - 1) // width]
        sort_rows(
            x, image, group * channels, channels, b, oy0, held, image[1] + oy0 + held, step, kinds, corner, pitch, lines
        )
        for k0 in range(0, taps, most):
            depth = min(most, taps - k0)
            steps = offsets[k0 : k0 + depth]
            tile_base, tile_bias = (base, bias) if k0 == 0 else (out, nothing)
            tile_activation = activation if k0 + depth == taps else 0
            _tiles_in_place(
                depth, a, group * padded * taps + k0 * padded, lines, steps, tile_base, tile_bias, group * rows,
                tile_activation, out, out_strides[0] + b * out_strides[1] + group * rows * out_strides[2]
                + oy0 * out_strides[3], out_strides[2], places, rows, here, pixels, pitch, out_hw[1], scratch,
            )  # fmt: skip


@kernel(allocates=False)
def _tiles_in_place(
    depth, a, a_at, lines, steps, base, bias, bias_at, activation, out, at, apart, places, rows, tile_starts, pixels,
    pitch, wide, scratch,
):  # fmt: skip
    """Multiply the A panels of ``rows`` rows by the tiles of the sorted rows that begin at ``tile_starts``; of each
    ``pitch`` pixels the first ``wide`` are wanted, and of all the first ``pixels``.

    Some tiles for 6 output channels, then for the next 6: the cache would not hold half written lines of all channels.
    """
    width = 2 * lanes(out)
    for t0 in range(0, tile_starts.size, TILES_IN_PLACE):
        for m in range(0, rows, ROWS):
            for t in range(t0, min(tile_starts.size, t0 + TILES_IN_PLACE)):
                p = peek(tile_starts, t)
                tile(
                    depth, a, a_at + m * depth, 1, ROWS, lines, p, steps, base, bias, bias_at + m, activation, out,
                    at + m * apart, apart, places, p, p % pitch + width <= wide, min(ROWS, rows - m),
                    min(width, pixels - p), scratch,
                )  # fmt: skip


@kernel(allocates=False)
def pixels_in_place(image, window, step, corner, dilation, out_hw):
    """Tell whether every window lies inside the image, neighbours one pixel apart: then nothing needs copying."""
    bottom = (out_hw[0] - 1) * step[0] + (window[0] - 1) * dilation[0] - corner[0]
    right = (out_hw[1] - 1) * step[1] + (window[1] - 1) * dilation[1] - corner[1]
    return step[1] == 1 and corner[0] == 0 and corner[1] == 0 and bottom < image[1] and right < image[2]


@kernel
def _pack_filters(start, stop, filters, rows, channels, window, met, turned, most, panels):
    """Job: ``most`` steps of one group. Pack its filters as A panels, or, turned, those of its gradient, of whose
    windows only the taps ``met`` count.
    """
    taps = channels * met.size
    padded = (rows + ROWS - 1) // ROWS * ROWS
    blocks = (taps + most - 1) // most
    for job in range(start, stop):
        group, k0 = job // blocks, job % blocks * most
        depth, to = min(most, taps - k0), group * padded * taps + k0 * padded
        if not turned:
            pack(filters, group * rows * taps + k0, taps, 1, rows, depth, ROWS, panels, to)
        elif window == 1:
            pack(filters, (group * taps + k0) * rows, 1, rows, rows, depth, ROWS, panels, to)
        else:
            for m in range(0, rows, ROWS):
                at, apart = (group * channels * rows + m) * window, rows * window
                pack_turned(filters, at, min(ROWS, rows - m), window, apart, met, k0, depth, panels, to + m * depth)


def _packed(filters, groups, rows, channels, window, met=None):
    """Return the A panels of filters of ``rows`` output and ``channels`` input channels per group; or, given the taps
    that are ``met``, of the gradient's.
    """
    turned, met = met is not None, _all_taps(window) if met is None else met
    most = _most(met.size)
    a = np.empty(groups * -(-rows // ROWS) * ROWS * channels * met.size + 2 * lanes(filters), filters.dtype)
    launch(
        _pack_filters, groups * -(-channels * met.size // most), filters.reshape(-1), rows, channels, window, met,
        turned, most, a, work=rows * most / 4,
    )  # fmt: skip
    return a


@lru_cache(64)
def _all_taps(window):
    return np.arange(window)


def _most(kk):
    """How many steps a B panel holds at most, for a window of kk taps: whole channels where possible."""
    return DEPTH // kk * kk if kk <= DEPTH else DEPTH


@lru_cache(1024)
def _blocks(total, image, c_out, groups, window, step, dilation, out_hw, width, threads):
    """Decide who works on what: (output rows of a job in place, jobs for an image, 0, 0), or, with panels, (0, jobs,
    pixels of a job, parts of the output channels).
    """
    rows, kh, kw = c_out // groups, *window
    extra = ((kh - 1) * dilation[0] // step[0], (kw - 1) * dilation[1] // step[1])
    if rows <= (FEW_ROWS if kh * kw > 1 else ROWS):  # pixels of 1 x 1 windows are cheap to pack
        kinds = min(step[0], (kh - 1) * dilation[0] + 1) * min(step[1], (kw - 1) * dilation[1] + 1)
        high = IN_PLACE // (image[0] // groups * kinds * (out_hw[1] + extra[1])) - extra[0]
        parts = -(-out_hw[0] // min(out_hw[0], max(high, 4 * extra[0] + 1)))
        return -(-out_hw[0] // parts), groups * parts, 0, 0
    # A job sorts rows of which the neighbouring job needs some too: several rows of output share that.
    sorts = window != (1, 1) or step != (1, 1)
    block = max(COLUMN_PANELS * width, (2 * extra[0] + 2) * out_hw[1] if sorts else 0)
    block = -(-total // (-(-total // block) * width)) * width
    blocks = -(-total // block)
    # Every part of the rows packs the pixels anew, so there are more of them only where threads would have nothing to
    # do.
    parts = 1 if threads == 1 else max(1, min(CHUNKS // (blocks * groups), rows // (8 * ROWS)))
    return 0, groups * blocks * parts, block, parts


def _correlate(
    x, a, c_out, window, out, base, bias, activation, *, groups, step, corner, dilation, out_hw, out_strides
):
    """Write to ``out`` the correlation of x with c_out packed filters, plus ``base`` and ``bias``."""
    n, image = x.shape[0], x.shape[1:]
    rows, taps, total = c_out // groups, image[0] // groups * window[0] * window[1], n * out_hw[0] * out_hw[1]
    high, jobs, block, parts = _blocks(
        total, image, c_out, groups, window, step, dilation, out_hw, 2 * lanes(x), get_num_threads()
    )
    work = rows * taps / 8
    given = (x.reshape(-1), image, a, groups, rows, taps, window, step, corner, dilation, out_hw)
    end = (base, bias, activation, out.reshape(-1), out_strides)
    if high:
        launch(_convolve_in_place, n * jobs, *given, high, *end, work=work * high * out_hw[1])
    else:
        launch(_convolve, jobs, *given, total, block, parts, *end, work=work * block / parts)


@kernel
def _grad_weight(
    start, stop, grad_out, x, n, image, groups, rows, parts, taps, window, step, corner, dilation, out_hw, blocks,
    chunks, sums,
):  # fmt: skip
    """Job: a block of taps and a part of the output channels of one group, over one chunk of the batch; it owns its
    place in ``sums``.
    """
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
    a = np.empty(ROW_PANELS * ROWS * DEPTH + width, sums.dtype)
    panel = width * (DEPTH + width)
    panels = np.empty((block + width - 1) // width * panel, sums.dtype)
    starts, puts, lengths = np.empty(DEPTH + 1, np.int64), np.empty(DEPTH + 1, np.int64), np.empty(DEPTH + 1, np.int64)
    first_runs = np.empty(2, np.int64)
    places = np.empty(DEPTH, np.int64)
    columns = np.arange(block + width)
    offsets = np.empty(block, np.int64)
    scratch = np.empty(ROWS * width, sums.dtype)
    nothing = sums[:0]
    for job in range(start, stop):
        chunk, group = job // (groups * blocks * parts), job // (blocks * parts) % groups
        tap0, part = job // parts % blocks * block, job % parts
        tap1 = min(taps, tap0 + block)
        m_start, m_stop = rows * part // parts // ROWS * ROWS, rows * (part + 1) // parts // ROWS * ROWS
        if part + 1 == parts:
            m_stop = rows
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
            cut(q, q + depth, depth, 0, out_hw, at, (0, 0, 0, 0), starts, puts, lengths, first_runs, places)
            tap_offsets(
                group * taps + tap0 - first * kk,
                tap1 - tap0,
                window,
                dilation,
                (1, 1) if plain else kinds,
                strides,
                offsets,
            )
            for tap in range(tap0, tap1, width):
                pack_pixels(
                    source, starts, puts, lengths, first_runs[1], offsets[tap - tap0 :], min(width, tap1 - tap), panels,
                    (tap - tap0) // width * panel,
                )  # fmt: skip
            for m0 in range(m_start, m_stop, ROW_PANELS * ROWS):
                m1 = min(m_stop, m0 + ROW_PANELS * ROWS)
                k = 0
                while k < depth:  # the pixels of one image after the other
                    b, p = (q + k) // pixels, (q + k) % pixels
                    run = min(depth - k, pixels - p)
                    for m in range(m0, m1, ROWS):
                        at_g = ((b * groups + group) * rows + m) * pixels + p
                        pack(grad_out, at_g, pixels, 1, min(ROWS, m1 - m), run, ROWS, a, (m - m0) * depth + k * ROWS)
                    k += run
                tiles(
                    depth, a, 0, panels, 0, panel, base, nothing, 0, 0, sums,
                    ((chunk * groups + group) * rows + m0) * taps + tap0, taps, columns, 0, m1 - m0, tap1 - tap0,
                    scratch,
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
    if n and winograd.wins("forward", *filters.shape[:2], window, stride, dilation, groups, out_hw):
        winograd.correlate(
            x, filters, out, base, shift, ACTIVATIONS[activation], (padding[0][0], padding[1][0]), step=stride,
            groups=groups,
        )  # fmt: skip
        return out
    h_out, w_out = out_hw
    shape = out_hw
    if window == (1, 1) and stride == (1, 1) and x.shape[2:] == out_hw:  # rows of pixels have no ends
        x, shape = x.reshape(*x.shape[:2], 1, h_out * w_out), (1, h_out * w_out)
    if not out.size:
        return out
    a = _packed(filters, groups, c_out // groups, filters.shape[1], window[0] * window[1])
    _correlate(
        x, a, c_out, window, out, base, shift, ACTIVATIONS[activation], groups=groups, step=stride,
        corner=(padding[0][0], padding[1][0]), dilation=dilation, out_hw=shape,
        out_strides=(0, c_out * h_out * w_out, h_out * w_out, shape[1], 1),
    )  # fmt: skip
    return out


def _meeting(kind, kernel, stride, dilation, before):
    """Return which taps input pixels kind, kind + stride, ... meet, from the last to the first: (taps, first output,
    dilation).

    Pixel kind + i * stride and tap t meet at output place (kind + before - t * dilation) / stride + i.
    """
    met = [t for t in reversed(range(kernel)) if (kind + before - t * dilation) % stride == 0]
    places = [(kind + before - t * dilation) // stride for t in met]
    return met, places[0] if met else 0, places[1] - places[0] if len(met) > 1 else 1


@lru_cache(256)
def _kinds(image, window, stride, dilation, padding):
    """List the convolutions that make up the gradient of the input, one for each kind of pixel: (first row, first
    column, taps met, their window, corner, dilation, output size).
    """
    kinds = []
    for ky in range(min(stride[0], image[0])):
        met_y, oy, hole_y = _meeting(ky, window[0], stride[0], dilation[0], padding[0][0])
        for kx in range(min(stride[1], image[1])):
            met_x, ox, hole_x = _meeting(kx, window[1], stride[1], dilation[1], padding[1][0])
            met = np.array([y * window[1] + x for y in met_y for x in met_x], np.int64)
            out_hw = (len(range(ky, image[0], stride[0])), len(range(kx, image[1], stride[1])))
            kinds.append((ky, kx, met, (len(met_y), len(met_x)), (-oy, -ox), (hole_y, hole_x), out_hw))
    return kinds


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
    if window == (1, 1) and stride == (1, 1) and grad_out.shape[2:] == (h, w):
        grad_out, h, w = grad_out.reshape(n, c_out, 1, h * w), 1, h * w
    if (
        n
        and stride == (1, 1)
        and winograd.wins("grad_input", *filters.shape[:2], window, stride, dilation, groups, (h, w))
    ):
        corner = (window[0] - 1 - padding[0][0], window[1] - 1 - padding[1][0])
        winograd.correlate(grad_out, filters, grad_input, nothing, nothing, 0, corner, groups=groups, turned=True)
        return grad_input
    for ky, kx, met, met_window, corner, holes, out_hw in _kinds((h, w), window, stride, dilation, padding):
        if met.size == 0:
            grad_input[:, :, ky :: stride[0], kx :: stride[1]] = 0
            continue
        a = _packed(filters, groups, c_in // groups, c_out // groups, window[0] * window[1], met)
        _correlate(
            grad_out, a, c_in, met_window, grad_input, nothing, nothing, 0, groups=groups, step=(1, 1), corner=corner,
            dilation=holes, out_hw=out_hw, out_strides=(ky * w + kx, c_in * h * w, h * w, w * stride[0], stride[1]),
        )  # fmt: skip
    return grad_input


def conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> the shape of the weight."""
    n, c_out, *out_hw = grad_out.shape
    kh, kw = weight_shape[-2:]
    rows, taps = c_out // groups, x.shape[1] // groups * kh * kw
    if n and _is_linear(x.shape[2:], (kh, kw), padding, groups):
        sums = matmul(grad_out.reshape(n, c_out).T, x.reshape(n, -1))
    elif grad_out.size and winograd.wins(
        "grad_weight", c_out, x.shape[1] // groups, (kh, kw), stride, dilation, groups, out_hw
    ):
        corner = (padding[0][0], padding[1][0])
        sums = winograd.grad_weight(grad_out, x, (kh, kw), corner, step=stride, groups=groups)
    elif not grad_out.size:
        sums = np.zeros((c_out, taps), x.dtype)
    else:
        image = x.shape[1:]
        if (kh, kw) == (1, 1) and stride == (1, 1) and x.shape[2:] == tuple(out_hw):
            image, out_hw = (image[0], 1, image[1] * image[2]), (1, out_hw[0] * out_hw[1])
        blocks = -(-taps // (COLUMN_PANELS * 2 * lanes(x)))
        # With few blocks the batch is split too. The shapes alone decide, so that every number of threads adds the
        # same numbers in the same order.
        row_blocks = -(-rows // (ROW_PANELS * ROWS))
        chunks = max(1, min(n, CHUNKS // (groups * blocks * row_blocks)))
        parts = 1 if get_num_threads() == 1 else row_blocks
        sums = np.empty((chunks, c_out, taps), x.dtype)
        launch(
            _grad_weight, chunks * groups * blocks * parts, grad_out.reshape(-1), x.reshape(-1), n, image, groups, rows,
            parts, taps, (kh, kw), stride, (padding[0][0], padding[1][0]), dilation, tuple(out_hw), blocks, chunks,
            sums.reshape(-1), work=grad_out.size / c_out * rows * taps / (chunks * blocks * parts) / 8,
        )  # fmt: skip
        sums = sums.sum(axis=0) if chunks > 1 else sums[0]
    filters = sums.reshape(c_out, x.shape[1] // groups, kh, kw)
    return filters if table is None else filters[table]


def conv2d_grad_bias(grad_out):
    """grad_out (N, C_out, H_out, W_out) -> (C_out,)."""
    return grad_out.sum(axis=(0, 2, 3))
