"""Winograd's convolution: 3 x 3 filters at stride 1 with a quarter of the multiplications. Read conv2d.py first.

Four neighbouring outputs of a 1-D filter with three taps need six inputs and 4 * 3 = 12 multiplications. Winograd's
F(4, 3) needs six: transform the inputs (``B'd``) and the filter (``G g``), multiply number by number, and transform
back:

    out = A' [(G g) * (B' d)]

The matrices hold small constants, so the transforms are mostly additions. In two dimensions, rows first and columns
then, a tile of 4 x 4 outputs comes from 6 x 6 inputs with 36 multiplications instead of 144. All filters of a layer
share the transformed inputs, and all tiles the transformed filters, so the 36 multiplications become 36 matrix
products, one for each place (i, j) of the 6 x 6 square: (C_out x C_in) times (C_in x tiles). They run on gemm.py's
``tile``.

The price is accuracy: the transforms subtract numbers of similar size. In float32 an output is off by about 1e-5 of the
outputs' standard deviation, ten times as much as in a direct sum (see benchmarks), and an infinity or NaN spreads over
its 4 x 4 tile. ``set_winograd(False)`` turns it off.

Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4.1 (the matrices are theirs, for the
points 0, 1, -1, 2, -2).
"""

from __future__ import annotations

import os

import numpy as np

from minicnn.kernels.gemm import ROWS, pack, tiles
from minicnn.kernels.jit import get_num_threads, kernel, launch
from minicnn.kernels.patches import pack_turned, sort_rows
from minicnn.kernels.simd import (
    broadcast,
    fma,
    lanes,
    load,
    maximum,
    minimum,
    peek,
    poke,
    splat,
    square,
    store,
    transpose,
    tuple_setitem,
)

OUT, IN, PLACES = 4, 6, 36  # outputs and inputs of a tile along an axis; places of the square
TILE_PANELS = 3  # panels of tiles whose products are kept at a time
MOST_TILE_PANELS = 13  # of a job: the more, the less it matters that each job transforms the filters anew
FEWEST_CHANNELS = 16  # of input and output, for the transforms to pay
V_BYTES = 16 << 20  # of transformed inputs, at most, in a job
GRADIENT_TILES = 64  # tiles whose products are summed at a time, for the gradient of the weight
FILTERS = 48  # output channels whose transformed filters are kept at a time

_enabled = os.environ.get("MINICNN_WINOGRAD", "1") != "0"


def set_winograd(on: bool) -> None:
    """Let 3 x 3 convolutions at stride 1 use Winograd's algorithm (default), or have them all summed directly.

    It is twice as fast and a little less accurate: in float32 about 1e-5 of the outputs' standard deviation instead of
    1e-6. The environment variable ``MINICNN_WINOGRAD=0`` turns it off from the start.

    Raises
    ------
    ValueError
        If ``on`` is not a bool.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.set_winograd(False)
    >>> minicnn.set_winograd(True)
    """
    global _enabled
    if not isinstance(on, bool):
        raise ValueError(f"set_winograd: on must be True or False, got {on!r}")
    _enabled = on


def wins(c_out, c_in, window, stride, dilation, groups, out_hw):
    """Tell whether the algorithm applies and pays: not with few channels, or maps that fill their tiles badly."""
    tiles = -(-out_hw[0] // OUT) * -(-out_hw[1] // OUT)
    return (
        _enabled
        and (window, stride, dilation, groups) == ((3, 3), (1, 1), (1, 1), 1)
        and min(c_out, c_in) >= FEWEST_CHANNELS
        and 9 * out_hw[0] * out_hw[1] >= 1.5 * PLACES * tiles
    )


@kernel(inline=True)
def _filter_transform(a, at, apart, out, to, to_apart):
    """Write G g: six vectors from the three at ``a[at]``, ``apart`` from each other."""
    g0, g1, g2 = load(a, at), load(a, at + apart), load(a, at + 2 * apart)
    sixth, twelfth = splat(a, 1 / 6), splat(a, 1 / 12)
    ends, middle = g0 + g2, g1
    store(out, to, splat(a, 1 / 4) * g0)
    store(out, to + to_apart, splat(a, -1 / 6) * (ends + middle))
    store(out, to + 2 * to_apart, splat(a, -1 / 6) * (ends - middle))
    far = fma(sixth, g2, splat(a, 1 / 24) * g0)
    store(out, to + 3 * to_apart, fma(twelfth, g1, far))
    store(out, to + 4 * to_apart, far - twelfth * g1)
    store(out, to + 5 * to_apart, g2)


@kernel(inline=True)
def _input_transform(d, at, apart, out, to, to_apart):
    """Write B' d: six vectors from the six at ``d[at]``, ``apart`` from each other."""
    d0, d1, d2 = load(d, at), load(d, at + apart), load(d, at + 2 * apart)
    d3, d4, d5 = load(d, at + 3 * apart), load(d, at + 4 * apart), load(d, at + 5 * apart)
    two, four, five = splat(d, 2), splat(d, 4), splat(d, 5)
    even, odd = d4 - four * d2, d3 - four * d1
    near, far = d4 - d2, two * (d3 - d1)
    store(out, to, fma(four, d0, d4) - five * d2)
    store(out, to + to_apart, even + odd)
    store(out, to + 2 * to_apart, even - odd)
    store(out, to + 3 * to_apart, near + far)
    store(out, to + 4 * to_apart, near - far)
    store(out, to + 5 * to_apart, fma(four, d1, d5) - five * d3)


@kernel(inline=True)
def _output_transform(m, at, apart, out, to, to_apart):
    """Write A' m: four vectors from the six at ``m[at]``, ``apart`` from each other."""
    m1, m2 = load(m, at + apart), load(m, at + 2 * apart)
    m3, m4 = load(m, at + 3 * apart), load(m, at + 4 * apart)
    near, near_odd, far, far_odd = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    store(out, to, load(m, at) + near + far)
    store(out, to + to_apart, fma(splat(m, 2), far_odd, near_odd))
    store(out, to + 2 * to_apart, fma(splat(m, 4), far, near))
    store(out, to + 3 * to_apart, fma(splat(m, 8), far_odd, near_odd) + load(m, at + 5 * apart))


@kernel(allocates=False)
def _transform_filters(filters, c_out, c_in, turned, from_last, m0, m1, taps, half, u):
    """Write G g G' of the output channels m0 .. m1 - 1: u[place, panel of six, ic] holds six numbers, an A panel for
    each place.
    """
    n = lanes(u)
    panel_size = c_in * ROWS
    place_size = (
        m1 - m0 + ROWS - 1
    ) // ROWS * panel_size + n  # a vector reaches beyond six rows: what follows sets that right
    for m in range(m0, m1, ROWS):
        if turned:
            pack_turned(filters, m * 9, min(ROWS, c_out - m), 9, c_out * 9, from_last, 0, c_in * 9, taps, 0)
        else:
            pack(filters, m * c_in * 9, c_in * 9, 1, min(ROWS, c_out - m), c_in * 9, ROWS, taps, 0)
        for ic in range(c_in):
            for r in range((ROWS - 1) // n * n, -1, -n):
                for kx in range(3):
                    _filter_transform(taps, (ic * 9 + kx) * ROWS + r, 3 * ROWS, half, kx * n, 3 * n)
                here = (m - m0) // ROWS * panel_size + ic * ROWS + r
                for i in range(IN):
                    _filter_transform(half, i * 3 * n, n, u, here + i * IN * place_size, place_size)


@kernel(inline=True)
def _gather(lines, corners, first, count, pitch, size, d):
    """Write size x size pixels of up to one vector of tiles to d[place, tile]: squares of pixels, transposed."""
    n = lanes(d)
    zero = splat(d, 0)
    for i in range(size):
        for j in range(0, size, n):
            block = square(zero)
            for t in range(n):
                block = tuple_setitem(block, t, load(lines, corners[first + min(t, count - 1)] + i * pitch + j))
            block = transpose(block)
            for t in range(n):
                if j + t < size:
                    store(d, (i * size + j + t) * n, block[t])


@kernel(allocates=False)
def _corners(t0, t1, high, wide, pitch, period, corners):
    """Tell where the tiles t0 .. t1 - 1 begin in the sorted rows of a job that starts with t0."""
    b0, ty0 = t0 // (high * wide), t0 // wide % high
    for t in range(t0, t1):
        row = (t // (high * wide) - b0) * period + (t // wide % high - ty0) * OUT
        corners[t - t0] = row * pitch + t % wide * OUT


@kernel
def _winograd(
    start, stop, x, image, filters, turned, c_out, parts, part, corner, out_hw, total, block, residual, bias,
    activation, out,
):  # fmt: skip
    """Job: a part of the output channels at a block of the ``total`` tiles of the batch.

    Its filters are transformed some at a time, which costs little beside a product with hundreds of tiles; all of them
    would not fit into a cache (512 x 512: 38 MB).
    """
    c_in = image[0]
    n = lanes(out)
    width = 2 * n
    high, wide = (out_hw[0] + OUT - 1) // OUT, (out_hw[1] + OUT - 1) // OUT
    v_size = c_in * width + width  # not a power of two: that would crowd a set of the cache
    pitch, period = OUT * wide + 2, OUT * high + 2
    rows = (block // (high * wide) + 2) * 2 + ((block - 1) // wide + 2) * OUT
    lines = np.empty(rows * pitch + 2 * width, out.dtype)
    d = np.empty(2 * PLACES * width, out.dtype)
    v = np.empty((block + width - 1) // width * PLACES * v_size, out.dtype)
    u = np.empty(PLACES * (FILTERS * c_in + n), out.dtype)
    taps = np.empty(c_in * 9 * ROWS + n, out.dtype)
    products = np.empty(TILE_PANELS * FILTERS * PLACES * width, out.dtype)
    pieces = np.empty((OUT + 2) * IN * width, out.dtype)
    line = np.empty(OUT * (OUT * width + n), out.dtype)
    corners, from_last = np.empty(block, np.int64), np.arange(8, -1, -1)
    places = np.arange(TILE_PANELS * width)  # of a tile's product: that of its panel, then its own
    places += places // width * (FILTERS * PLACES * width - width)
    scratch = np.empty(ROWS * width, out.dtype)
    nothing = out[:0]
    for job in range(start, stop):
        t0 = job // parts * block
        t1 = min(total, t0 + block)
        b0, ty0 = t0 // (high * wide), t0 // wide % high
        b1, ty1 = (t1 - 1) // (high * wide), (t1 - 1) // wide % high
        here = (b1 - b0) * period + (ty1 - ty0 + 1) * OUT + 2
        _corners(t0, t1, high, wide, pitch, period, corners)
        for ic in range(c_in):
            sort_rows(x, image, ic, 1, b0, ty0 * OUT, here, period, (1, 1), (1, 1), corner, pitch, lines)
            for t in range(0, t1 - t0, n):
                _gather(lines, corners, t, min(n, t1 - t0 - t), pitch, IN, d)
                to = t // width * PLACES * v_size + ic * width + t % width
                for i in range(IN):
                    _input_transform(d, i * IN * n, n, d, (PLACES + i * IN) * n, n)
                for j in range(IN):
                    _input_transform(d, (PLACES + j) * n, IN * n, v, to + j * v_size, IN * v_size)
        for m0 in range(job % parts * part, min(c_out, (job % parts + 1) * part), FILTERS):
            m1 = min(m0 + FILTERS, min(c_out, (job % parts + 1) * part))
            _transform_filters(filters, c_out, c_in, turned, from_last, m0, m1, taps, pieces, u)
            place_size = (m1 - m0 + ROWS - 1) // ROWS * ROWS * c_in + n
            for t in range(t0, t1, TILE_PANELS * width):
                t_stop = min(t1, t + TILE_PANELS * width)
                for place in range(PLACES):
                    tiles(
                        c_in, u, place * place_size, v, ((t - t0) // width * PLACES + place) * v_size,
                        PLACES * v_size, nothing, nothing, 0, 0, products, place * width, PLACES * width, places, 0,
                        m1 - m0, (t_stop - t + width - 1) // width * width, scratch,
                    )  # fmt: skip
                for p in range(t, t_stop, width):
                    for m in range(m0, m1):
                        product = ((p - t) // width * FILTERS + m - m0) * PLACES * width
                        for half in range(0, width, n):
                            for j in range(IN):
                                _output_transform(
                                    products, product + j * width + half, IN * width, pieces, j * n, IN * n
                                )
                            for i in range(OUT):
                                _output_transform(pieces, i * IN * n, n, pieces, (OUT * IN + i * OUT) * n, n)
                            _scatter(pieces, OUT * IN * n, line, half * OUT, OUT * width + n)
                        _place(
                            line,
                            p,
                            min(t_stop, p + width),
                            high,
                            wide,
                            c_out,
                            m,
                            out_hw,
                            residual,
                            bias,
                            activation,
                            out,
                        )


@kernel(allocates=False)
def _place(line, t, t_stop, high, wide, c_out, channel, out_hw, residual, bias, activation, out):
    """Copy the outputs of the tiles t .. t_stop - 1 to their places, without what reaches beyond the image."""
    n = lanes(out)
    first, apart = t, 2 * OUT * n + n
    while t < t_stop:  # the tiles of one row of tiles after the other
        b, ty, tx = t // (high * wide), t // wide % high, t % wide
        run = min(t_stop - t, wide - tx)
        length = min(run * OUT, out_hw[1] - tx * OUT)
        at = ((b * c_out + channel) * out_hw[0] + ty * OUT) * out_hw[1] + tx * OUT
        for i in range(min(OUT, out_hw[0] - ty * OUT)):
            _finish(
                line,
                i * apart + (t - first) * OUT,
                length,
                residual,
                bias,
                channel,
                activation,
                out,
                at + i * out_hw[1],
            )
        t += run


@kernel(inline=True)
def _scatter(pieces, at, line, to, apart):
    """Write the 4 x 4 outputs of a vector of tiles, pieces[i, j, tile], to four lines of pixels, ``apart`` from each
    other.
    """
    n = lanes(line)
    zero = splat(line, 0)
    for i in range(OUT):
        for j in range(0, OUT, n):
            block = square(zero)
            for t in range(n):
                block = tuple_setitem(block, t, load(pieces, at + (i * OUT + min(j + t, OUT - 1)) * n))
            block = transpose(block)
            for t in range(n):  # what is too much is overwritten by the next tile or line
                store(line, to + i * apart + t * OUT + j, block[t])


@kernel(inline=True)
def _finish(line, here, length, residual, bias, channel, activation, out, at):
    """Copy a run of outputs to their place, with the epilogue."""
    n = lanes(out)
    zero, six = splat(out, 0), splat(out, 6)
    t = 0
    while t < length:
        if length >= n:
            t = min(t, length - n)  # the last vector overlaps the one before
            value = load(line, here + t)
            if residual.size > 0:
                value = value + load(residual, at + t)
            if bias.size > 0:
                value = value + broadcast(bias, channel)
            if activation > 0:
                value = maximum(zero, value)
            if activation > 1:
                value = minimum(six, value)
            store(out, at + t, value)
            t += n
        else:
            number = line[here + t]
            if residual.size > 0:
                number += residual[at + t]
            if bias.size > 0:
                number += bias[channel]
            if activation > 0 and number < 0:
                number = out.dtype.type(0)
            if activation > 1 and number > 6:
                number = out.dtype.type(6)
            out[at + t] = number
            t += 1


def correlate(x, filters, out, residual, bias, activation, corner, turned=False):
    """Write to ``out`` (N, C_out, H_out, W_out) the correlation of x with filters (C_out, C_in, 3, 3) at stride 1.

    With ``turned``, filters (C_in, C_out, 3, 3) are turned by 180 degrees, input and output channels exchanged.

    ``residual`` (flat, as out) and ``bias`` are added unless empty; ``activation`` is a value of ACTIVATIONS.
    """
    n, c_out, h_out, w_out = out.shape
    c_in = x.shape[1]
    total, width = n * -(-h_out // OUT) * -(-w_out // OUT), 2 * lanes(x)
    most = max(1, min(MOST_TILE_PANELS, V_BYTES // (PLACES * width * c_in * x.itemsize)))
    blocks = -(-total // (most * width))
    block = -(-total // (blocks * width)) * width
    blocks = -(-total // block)
    # Few tiles: threads divide the output channels too, though each part transforms the inputs anew.
    parts = 1 if get_num_threads() == 1 else max(1, min(8 // blocks, c_out // 96))
    part = -(-c_out // (parts * ROWS)) * ROWS
    launch(
        _winograd, blocks * parts, x.reshape(-1), x.shape[1:], filters.reshape(-1), turned, c_out, parts, part, corner,
        (h_out, w_out), total, block, residual, bias, activation, out.reshape(-1),
        work=c_in * c_out * block * PLACES / parts / 8,
    )  # fmt: skip


@kernel(inline=True)
def _grad_out_transform(y, at, apart, out, to, to_apart):
    """Write A y: six vectors from the four at ``y[at]``, ``apart`` from each other."""
    y0, y1, y2, y3 = load(y, at), load(y, at + apart), load(y, at + 2 * apart), load(y, at + 3 * apart)
    near, near_odd = y0 + y2, y1 + y3
    far, far_odd = fma(splat(y, 4), y2, y0), fma(splat(y, 8), y3, y1 + y1)
    store(out, to, y0)
    store(out, to + to_apart, near + near_odd)
    store(out, to + 2 * to_apart, near - near_odd)
    store(out, to + 3 * to_apart, far + far_odd)
    store(out, to + 4 * to_apart, far - far_odd)
    store(out, to + 5 * to_apart, y3)


@kernel(inline=True)
def _filter_back(s, at, apart, out, to, to_apart):
    """Write G' s: three vectors from the six at ``s[at]``, ``apart`` from each other."""
    s1, s2 = load(s, at + apart), load(s, at + 2 * apart)
    s3, s4 = load(s, at + 3 * apart), load(s, at + 4 * apart)
    sixth, near, far = splat(s, 1 / 6), s1 + s2, s3 + s4
    store(out, to, fma(splat(s, 1 / 4), load(s, at), splat(s, 1 / 24) * far - sixth * near))
    store(out, to + to_apart, fma(sixth, s2 - s1, splat(s, 1 / 12) * (s3 - s4)))
    store(out, to + 2 * to_apart, fma(sixth, far - near, load(s, at + 5 * apart)))


@kernel
def _winograd_grad_weight(
    start, stop, grad_out, x, image, c_out, parts, part, corner, out_hw, total, chunks, grad_weight
):  # fmt: skip
    """Job: a part of the output channels, over one chunk of the tiles; it owns its place in grad_weight[chunk, oc, ic,
    tap].

    The gradient goes the way back: A y A' of the gradient of a tile's outputs, times B' d B of its inputs, summed over
    the tiles (36 matrix products again, with the tiles as k), and G' s G at the end.
    """
    c_in = image[0]
    n = lanes(grad_weight)
    width = 2 * n
    high, wide = (out_hw[0] + OUT - 1) // OUT, (out_hw[1] + OUT - 1) // OUT
    pitch, period = OUT * wide + 2, OUT * high + 2
    block = GRADIENT_TILES
    rows = (block // (high * wide) + 2) * 2 + ((block - 1) // wide + 2) * OUT
    lines = np.empty(rows * pitch + 2 * width, grad_weight.dtype)
    d = np.empty(2 * PLACES * n, grad_weight.dtype)
    row = block + n  # of one channel's tiles
    v = np.empty(PLACES * c_in * row, grad_weight.dtype)
    q = np.empty(PLACES * part * row, grad_weight.dtype)
    a = np.empty((part + ROWS) * block + n, grad_weight.dtype)
    b = np.empty((c_in + width) * block + n, grad_weight.dtype)
    s_row = c_in + n
    sums = np.empty(PLACES * part * s_row, grad_weight.dtype)
    pieces = np.empty(27 * n, grad_weight.dtype)
    corners = np.empty(block, np.int64)
    places = np.arange((c_in + width - 1) // width * width)
    scratch = np.empty(ROWS * width, grad_weight.dtype)
    nothing = grad_weight[:0]
    for job in range(start, stop):
        chunk, m0 = job // parts, job % parts * part
        m1 = min(c_out, m0 + part)
        begin, end = total * chunk // chunks, total * (chunk + 1) // chunks
        for t0 in range(begin, end, block):
            t1 = min(end, t0 + block)
            depth = t1 - t0
            base = nothing if t0 == begin else sums
            b0, ty0 = t0 // (high * wide), t0 // wide % high
            b1, ty1 = (t1 - 1) // (high * wide), (t1 - 1) // wide % high
            here = (b1 - b0) * period + (ty1 - ty0 + 1) * OUT + 2
            _corners(t0, t1, high, wide, pitch, period, corners)
            for ic in range(c_in):
                sort_rows(x, image, ic, 1, b0, ty0 * OUT, here, period, (1, 1), (1, 1), corner, pitch, lines)
                for t in range(0, depth, n):
                    _gather(lines, corners, t, min(n, depth - t), pitch, IN, d)
                    for i in range(IN):
                        _input_transform(d, i * IN * n, n, d, (PLACES + i * IN) * n, n)
                    for j in range(IN):
                        _input_transform(d, (PLACES + j) * n, IN * n, v, (j * c_in + ic) * row + t, IN * c_in * row)
            for oc in range(m0, m1):
                shape = (c_out, out_hw[0], out_hw[1])
                sort_rows(grad_out, shape, oc, 1, b0, ty0 * OUT, here, period, (1, 1), (1, 1), (0, 0), pitch, lines)
                for t in range(0, depth, n):
                    _gather(lines, corners, t, min(n, depth - t), pitch, OUT, d)
                    for i in range(OUT):
                        _grad_out_transform(d, i * OUT * n, n, d, (PLACES + i * IN) * n, n)
                    for j in range(IN):
                        to = (j * part + oc - m0) * row + t
                        _grad_out_transform(d, (PLACES + j) * n, IN * n, q, to, IN * part * row)
            for place in range(PLACES):
                pack(q, place * part * row, row, 1, m1 - m0, depth, ROWS, a, 0)
                pack(v, place * c_in * row, row, 1, c_in, depth, width, b, 0)
                tiles(
                    depth, a, 0, b, 0, depth * width, base, nothing, 0, 0, sums, place * part * s_row, s_row, places, 0,
                    m1 - m0, c_in, scratch,
                )  # fmt: skip
        for oc in range(m0, m1):
            for ic in range(0, c_in, n):
                for j in range(IN):
                    at = (j * part + oc - m0) * s_row + ic
                    _filter_back(sums, at, IN * part * s_row, pieces, j * n, IN * n)
                for i in range(3):
                    _filter_back(pieces, i * IN * n, n, pieces, (18 + i * 3) * n, n)
                to = ((chunk * c_out + oc) * c_in + ic) * 9
                for lane in range(min(n, c_in - ic)):
                    for tap in range(9):
                        poke(grad_weight, to + lane * 9 + tap, peek(pieces, (18 + tap) * n + lane))


def grad_weight(grad_out, x, corner):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> (C_out, C_in, 3, 3), of a convolution at stride 1."""
    n, c_out, h_out, w_out = grad_out.shape
    c_in = x.shape[1]
    total = n * -(-h_out // OUT) * -(-w_out // OUT)
    parts = -(-c_out // 128)
    part = -(-c_out // (parts * ROWS)) * ROWS
    chunks = max(1, min(8 // parts, total // (2 * GRADIENT_TILES)))
    sums = np.empty((chunks, c_out, c_in, 3, 3), x.dtype)
    launch(
        _winograd_grad_weight, chunks * parts, grad_out.reshape(-1), x.reshape(-1), x.shape[1:], c_out, parts, part,
        corner, (h_out, w_out), total, chunks, sums.reshape(-1), work=c_in * part * total / chunks * PLACES / 8,
    )  # fmt: skip
    return sums.sum(axis=0) if chunks > 1 else sums[0]
