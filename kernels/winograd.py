"""Winograd's convolution: small windows with a third or a quarter of the multiplications. Read conv2d.py first.

Four neighbouring outputs of a 1-D filter with three taps need six inputs and 4 * 3 = 12 multiplications. Winograd's
F(4, 3) needs six: transform the inputs (``B'd``) and the filter (``G g``), multiply number by number, and transform
back:

    out = A' [(G g) * (B' d)]

Why six: the product of a polynomial of three coefficients and one of four has six coefficients, so six of its values
determine it, and a value of a product is one multiplication. A correlation is the transpose of this product (as a map
of the second polynomial), and takes as many. ``G`` and ``A`` work out values at the points 0, 1, -1, 2, -2 and infinity
(``_values``); their transposes go the way back (``_coefficients``). The matrices hold small constants, so the
transforms are mostly additions.

Six points serve every pair of outputs and taps whose sum is seven, with the same ``B``: F(4, 3), F(3, 4) for windows of
4 x 4 and F(2, 5) for 5 x 5. In two dimensions, rows first and columns then, a tile of 4 x 4 outputs comes from 6 x 6
inputs with 36 multiplications instead of 144 (3 x 3 outputs of a 4 x 4 window: 144 too; 2 x 2 of a 5 x 5 window: 100).
All filters of a layer share the transformed inputs, and all tiles the transformed filters, so the 36 multiplications
become 36 matrix products, one for each place (i, j) of the 6 x 6 square: (C_out x C_in) times (C_in x tiles). They run
on gemm.py's ``tile``.

A step of two is no obstacle: sorted into even and odd rows and columns (patches.py), an image is one of four times as
many channels and a quarter of the size, on which the window takes steps of one and is half as large. So the first
layers of ResNet (7 x 7, step 2: 4 x 4 over 12 channels) and AlexNet (11 x 11, step 4: 3 x 3 over 48 channels) come here
as well.

The price is accuracy: the transforms subtract numbers of similar size. In float32 an output is off by about 1e-5 of the
outputs' standard deviation, ten times as much as in a direct sum (see benchmarks), and an infinity or NaN spreads over
its tile. ``set_winograd(False)`` turns it off.

What was gained over the direct sum (EPYC with AVX2, float32, one thread): 2 to 2.8 times as fast for 3 x 3 windows, 1.4
to 2.1 for 5 x 5, 1.75 to 1.9 for 11 x 11 at step 4, 1.2 for 7 x 7 at step 2. Putting the outputs of neighbouring tiles
side by side in registers: another 1.02 to 1.12. F(5, 2) would save a third of the multiplications of 3 x 3 at step 2
where maps fill its tiles, but 28 x 28, 14 x 14 and 7 x 7 do not.

Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4.1 (the matrices of F(4, 3) are
theirs); Winograd 1980, "Arithmetic complexity of computations", chapter 4 (the construction).
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
    load_part,
    maximum,
    minimum,
    peek,
    poke,
    splat,
    square,
    store,
    store_part,
    transpose,
    tuple_setitem,
    zip_high,
    zip_low,
)

IN, PLACES = 6, 36  # inputs of a tile along an axis; places of the square
SIDES = {3: 4, 4: 3, 5: 2}  # outputs of a tile along an axis, for a window
TILE_PANELS = 3  # panels of tiles whose products are kept at a time
MOST_TILE_PANELS = 13  # of a job: the more, the less it matters that each job transforms the filters anew
# Output and input channels of the filters, at least, for the transforms to pay.
FEWEST = {"forward": (8, 8), "grad_input": (8, 8), "grad_weight": (8, 16)}
V_BYTES = 16 << 20  # of transformed inputs, at most, in a job
GRADIENT_TILES = 64  # tiles whose products are summed at a time, for the gradient of the weight
FILTERS = 48  # output channels whose transformed filters are kept at a time

_enabled = os.environ.get("MINICNN_WINOGRAD", "1") != "0"


def set_winograd(on: bool) -> None:
    """Let convolutions use Winograd's algorithm where it pays (default), or have them all summed directly.

    It is up to 2.8 times as fast and a little less accurate: in float32 about 1e-5 of the outputs' standard deviation
    instead of 1e-6. The environment variable ``MINICNN_WINOGRAD=0`` turns it off from the start.

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


def _window(window, step):
    """Taps of a window along an axis that an input pixel of one kind meets, or 0 where the axes differ."""
    high, wide = -(-window[0] // step[0]), -(-window[1] // step[1])
    return high if high == wide else 0


def wins(product, c_out, c_in, window, stride, dilation, groups, out_hw):
    """Tell whether the algorithm applies and pays, for filters (c_out, c_in, *window): not with few channels, or maps
    that fill their tiles badly. ``product`` is a key of FEWEST.
    """
    side = SIDES.get(_window(window, stride))
    if not _enabled or side is None or dilation != (1, 1):
        return False
    tiles = -(-out_hw[0] // side) * -(-out_hw[1] // side)
    kinds = stride[0] * stride[1]
    return (
        c_out // groups >= FEWEST[product][0]
        and c_in * kinds >= FEWEST[product][1]
        and window[0] * window[1] * out_hw[0] * out_hw[1] >= 1.5 * PLACES * tiles * kinds
    )


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
def _values(p, at, apart, count, scaled, out, to, to_apart):
    """Write the values of a polynomial at the six points: A p, or, ``scaled``, G p.

    Its ``count`` coefficients are vectors, from ``p[at]`` on, ``apart`` from each other.
    """
    last = load(p, at + (count - 1) * apart)
    even, odd, far_even, far_odd = load(p, at), load(p, at + apart), load(p, at), splat(p, 2) * load(p, at + apart)
    first = even
    for i in range(2, count):
        term = load(p, at + i * apart)
        if i % 2:
            odd, far_odd = odd + term, fma(splat(p, 1 << i), term, far_odd)
        else:
            even, far_even = even + term, fma(splat(p, 1 << i), term, far_even)
    near, near_minus, far, far_minus = even + odd, even - odd, far_even + far_odd, far_even - far_odd
    if scaled:
        sixth, far_scale = splat(p, -1 / 6), splat(p, 1 / 24)
        first, near, near_minus = splat(p, 1 / 4) * first, sixth * near, sixth * near_minus
        far, far_minus = far_scale * far, far_scale * far_minus
    store(out, to, first)
    store(out, to + to_apart, near)
    store(out, to + 2 * to_apart, near_minus)
    store(out, to + 3 * to_apart, far)
    store(out, to + 4 * to_apart, far_minus)
    store(out, to + 5 * to_apart, last)


@kernel(inline=True)
def _coefficients(v, at, apart, count, scaled, out, to, to_apart):
    """Write A' v, or, ``scaled``, G' v: ``count`` vectors from the six at ``v[at]``, ``apart`` from each other."""
    first, last = load(v, at), load(v, at + 5 * apart)
    v1, v2, v3, v4 = load(v, at + apart), load(v, at + 2 * apart), load(v, at + 3 * apart), load(v, at + 4 * apart)
    near, near_odd, far, far_odd = v1 + v2, v1 - v2, v3 + v4, v3 - v4
    if scaled:
        sixth, far_scale = splat(v, -1 / 6), splat(v, 1 / 24)
        first, near, near_odd = splat(v, 1 / 4) * first, sixth * near, sixth * near_odd
        far, far_odd = far_scale * far, far_scale * far_odd
    for i in range(count):
        value = fma(splat(v, 1 << i), far_odd if i % 2 else far, near_odd if i % 2 else near)
        if i == 0:
            value = value + first
        if i == count - 1:
            value = value + last
        store(out, to + i * to_apart, value)


@kernel(allocates=False)
def _transform_filters(filters, at, rows, c_in, side, turned, from_last, m0, m1, taps, half, u):
    """Write G g G' of the output channels m0 .. m1 - 1 of ``rows``, whose filters start at ``at``: u[place, panel of
    six, ic] holds six numbers, an A panel for each place.
    """
    n, window = lanes(u), side * side
    panel_size = c_in * ROWS
    # A vector reaches beyond six rows: what follows sets that right.
    place_size = (m1 - m0 + ROWS - 1) // ROWS * panel_size + n
    for m in range(m0, m1, ROWS):
        few = min(ROWS, rows - m)
        if turned:
            pack_turned(filters, at + m * window, few, window, rows * window, from_last, 0, c_in * window, taps, 0)
        else:
            pack(filters, at + m * c_in * window, c_in * window, 1, few, c_in * window, ROWS, taps, 0)
        for ic in range(c_in):
            for r in range((ROWS - 1) // n * n, -1, -n):
                for kx in range(side):
                    there = (ic * window + kx) * ROWS + r
                    _values(taps, there, side * ROWS, side, True, half, kx * n, side * n)
                here = (m - m0) // ROWS * panel_size + ic * ROWS + r
                for i in range(IN):
                    _values(half, i * side * n, n, side, True, u, here + i * IN * place_size, place_size)


@kernel(inline=True)
def _gather(lines, plane, corners, first, count, pitch, size, d):
    """Write size x size pixels of up to one vector of tiles to d[place, tile]: squares of pixels, transposed."""
    n = lanes(d)
    zero = splat(d, 0)
    for i in range(size):
        for j in range(0, size, n):
            block = square(zero)
            for t in range(n):
                block = tuple_setitem(block, t, load(lines, plane + corners[first + min(t, count - 1)] + i * pitch + j))
            block = transpose(block)
            for t in range(n):
                if j + t < size:
                    store(d, (i * size + j + t) * n, block[t])


@kernel(allocates=False)
def _corners(t0, t1, high, wide, side, pitch, period, corners):
    """Tell where the tiles t0 .. t1 - 1 begin in the sorted rows of a job that starts with t0."""
    b0, ty0 = t0 // (high * wide), t0 // wide % high
    for t in range(t0, t1):
        row = (t // (high * wide) - b0) * period + (t // wide % high - ty0) * side
        corners[t - t0] = row * pitch + t % wide * side


@kernel
def _winograd(
    start, stop, x, image, filters, groups, turned, outputs, step, c_out, parts, part, corner, out_hw, total, block,
    residual, bias, activation, out,
):  # fmt: skip
    """Job: a part of the output channels of a group at a block of the ``total`` tiles of the batch.

    ``outputs`` is a tuple as long as the side of a tile: the compiler knows its length, so it unrolls the transforms.

    Its filters are transformed some at a time, which costs little beside a product with hundreds of tiles; all of them
    would not fit into a cache (512 x 512: 38 MB).
    """
    side = len(outputs)
    window = IN + 1 - side
    extra = window - 1
    kinds = step[0] * step[1]
    channels, rows = image[0] // groups, c_out // groups
    c_in = channels * kinds
    n = lanes(out)
    width = 2 * n
    high, wide = (out_hw[0] + side - 1) // side, (out_hw[1] + side - 1) // side
    v_size = c_in * width + width  # not a power of two: that would crowd a set of the cache
    pitch, period = side * wide + extra, side * high + extra
    most = (block // (high * wide) + 2) * extra + ((block - 1) // wide + 2) * side
    lines = np.empty(kinds * most * pitch + 2 * width, out.dtype)
    d = np.empty(2 * PLACES * width, out.dtype)
    v = np.empty((block + width - 1) // width * PLACES * v_size, out.dtype)
    u = np.empty(PLACES * (FILTERS * c_in + n), out.dtype)
    taps = np.empty(c_in * window * window * ROWS + n, out.dtype)
    products = np.empty(TILE_PANELS * FILTERS * PLACES * width, out.dtype)
    pieces = np.empty((side * IN + max(side * side, IN * window)) * n, out.dtype)
    line = np.empty(side * (side * width + n), out.dtype)
    corners, from_last = np.empty(block, np.int64), np.arange(window * window - 1, -1, -1)
    places = np.arange(TILE_PANELS * width)  # of a tile's product: that of its panel, then its own
    places += places // width * (FILTERS * PLACES * width - width)
    scratch = np.empty(ROWS * width, out.dtype)
    nothing = out[:0]
    for job in range(start, stop):
        group, t0 = job // parts % groups, job // (parts * groups) * block
        t1 = min(total, t0 + block)
        b0, ty0 = t0 // (high * wide), t0 // wide % high
        b1, ty1 = (t1 - 1) // (high * wide), (t1 - 1) // wide % high
        here = (b1 - b0) * period + (ty1 - ty0 + 1) * side + extra
        _corners(t0, t1, high, wide, side, pitch, period, corners)
        for channel in range(channels):
            first = group * channels + channel
            sort_rows(x, image, first, 1, b0, ty0 * side, here, period, step, step, corner, pitch, lines)
            for kind in range(kinds):
                plane, ic = kind * here * pitch, channel * kinds + kind
                for t in range(0, t1 - t0, n):
                    _gather(lines, plane, corners, t, min(n, t1 - t0 - t), pitch, IN, d)
                    to = t // width * PLACES * v_size + ic * width + t % width
                    for i in range(IN):
                        _input_transform(d, i * IN * n, n, d, (PLACES + i * IN) * n, n)
                    for j in range(IN):
                        _input_transform(d, (PLACES + j) * n, IN * n, v, to + j * v_size, IN * v_size)
        m_stop = min(rows, (job % parts + 1) * part)
        for m0 in range(job % parts * part, m_stop, FILTERS):
            m1 = min(m0 + FILTERS, m_stop)
            _transform_filters(
                filters, group * rows * c_in * window * window, rows, c_in, window, turned, from_last, m0, m1, taps,
                pieces, u,
            )  # fmt: skip
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
                                there = product + j * width + half
                                _coefficients(products, there, IN * width, side, False, pieces, j * n, IN * n)
                            for i in range(side):
                                to = (side * IN + i * side) * n
                                _coefficients(pieces, i * IN * n, n, side, False, pieces, to, n)
                            _interleave(pieces, side, line, half * side, side * width + n)
                        _place(
                            line, p, min(t_stop, p + width), high, wide, side, c_out, group * rows + m, out_hw,
                            residual, bias, activation, out,
                        )  # fmt: skip


@kernel(allocates=False)
def _place(line, t, t_stop, high, wide, side, c_out, channel, out_hw, residual, bias, activation, out):
    """Copy the outputs of the tiles t .. t_stop - 1 to their places, without what reaches beyond the image."""
    n = lanes(out)
    first, apart = t, 2 * side * n + n
    while t < t_stop:  # the tiles of one row of tiles after the other
        b, ty, tx = t // (high * wide), t // wide % high, t % wide
        run = min(t_stop - t, wide - tx)
        length = min(run * side, out_hw[1] - tx * side)
        at = ((b * c_out + channel) * out_hw[0] + ty * side) * out_hw[1] + tx * side
        for i in range(min(side, out_hw[0] - ty * side)):
            here, to = i * apart + (t - first) * side, at + i * out_hw[1]
            _finish(line, here, length, residual, bias, channel, activation, out, to)
        t += run


@kernel(inline=True)
def _interleave(pieces, side, line, to, apart):
    """Write the side x side outputs of a vector of tiles, pieces[side * IN + i * side + j, tile], to ``side`` lines of
    pixels, ``apart`` from each other.
    """
    n = lanes(line)
    for i in range(side):
        at, here = (side * IN + i * side) * n, to + i * apart
        a, b = load(pieces, at), load(pieces, at + n)
        if side == 2:
            store(line, here, zip_low(a, b))
            store(line, here + n, zip_high(a, b))
        elif side == 4:
            c, d = load(pieces, at + 2 * n), load(pieces, at + 3 * n)
            low, odd_low = zip_low(a, c), zip_low(b, d)
            high, odd_high = zip_high(a, c), zip_high(b, d)
            store(line, here, zip_low(low, odd_low))
            store(line, here + n, zip_high(low, odd_low))
            store(line, here + 2 * n, zip_low(high, odd_high))
            store(line, here + 3 * n, zip_high(high, odd_high))
        else:
            for j in range(0, side, n):
                block, first = square(a), max(0, min(j, side - n))
                for t in range(n):
                    block = tuple_setitem(block, t, load(pieces, at + min(first + t, side - 1) * n))
                block = transpose(block)
                for t in range(n):  # what is too much is overwritten by the next tile or line
                    store(line, here + t * side + first, block[t])


@kernel(inline=True)
def _finish(line, here, length, residual, bias, channel, activation, out, at):
    """Copy a run of outputs to their place, with the epilogue."""
    n = lanes(out)
    zero, six, whole = splat(out, 0), splat(out, 6), length >= n
    t = 0
    while t < length:
        if whole:
            t = min(t, length - n)  # the last vector overlaps the one before
        value = load(line, here + t)
        if residual.size > 0:
            value = value + (load(residual, at + t) if whole else load_part(residual, at, length, 0))
        if bias.size > 0:
            value = value + broadcast(bias, channel)
        if activation > 0:
            value = maximum(zero, value)
        if activation > 1:
            value = minimum(six, value)
        if whole:
            store(out, at + t, value)
        else:
            store_part(out, at, length, value)
        t += n


def _by_kind(filters, step, side):
    """Filters (C_out, C_in, KH, KW) for every kind of pixel: (C_out, C_in * kinds, side, side), zero where none are."""
    c_out, c_in, kh, kw = filters.shape
    if step == (1, 1):
        return filters
    whole = np.zeros((c_out, c_in, side * step[0], side * step[1]), filters.dtype)
    whole[:, :, :kh, :kw] = filters
    kinds = whole.reshape(c_out, c_in, side, step[0], side, step[1]).transpose(0, 1, 3, 5, 2, 4)
    return kinds.reshape(c_out, -1, side, side)


def correlate(x, filters, out, residual, bias, activation, corner, *, step=(1, 1), groups=1, turned=False):
    """Write to ``out`` (N, C_out, H_out, W_out) the correlation of x with filters (C_out, C_in / groups, KH, KW).

    With ``turned``, filters (C_in, C_out / groups, KH, KW) are turned by 180 degrees, input and output channels
    exchanged.

    ``residual`` (flat, as out) and ``bias`` are added unless empty; ``activation`` is a value of ACTIVATIONS.
    """
    n, c_out, h_out, w_out = out.shape
    window = _window(filters.shape[2:], step)
    side, rows = SIDES[window], c_out // groups
    c_in = x.shape[1] // groups * step[0] * step[1]
    total, width = n * -(-h_out // side) * -(-w_out // side), 2 * lanes(x)
    most = max(1, min(MOST_TILE_PANELS, V_BYTES // (PLACES * width * c_in * x.itemsize)))
    blocks = -(-total // (most * width))
    block = -(-total // (blocks * width)) * width
    blocks = -(-total // block)
    # Few tiles: threads divide the output channels too, though each part transforms the inputs anew.
    parts = 1 if get_num_threads() == 1 else max(1, min(8 // (blocks * groups), rows // 64))
    part = -(-rows // (parts * ROWS)) * ROWS
    launch(
        _winograd, blocks * groups * parts, x.reshape(-1), x.shape[1:], _by_kind(filters, step, window).reshape(-1),
        groups, turned, (0,) * side, step, c_out, parts, part, corner, (h_out, w_out), total, block, residual, bias,
        activation, out.reshape(-1), work=c_in * rows * block * PLACES / parts / 8,
    )  # fmt: skip


@kernel
def _winograd_grad_weight(
    start, stop, grad_out, x, image, groups, outputs, step, c_out, parts, part, corner, out_hw, total, chunks,
    grad_weight,
):  # fmt: skip
    """Job: a part of the output channels of a group, over one chunk of the tiles; it owns its place in
    grad_weight[chunk, oc, ic, tap].

    The gradient goes the way back: A y A' of the gradient of a tile's outputs, times B' d B of its inputs, summed over
    the tiles (36 matrix products again, with the tiles as k), and G' s G at the end.
    """
    side = len(outputs)
    window = IN + 1 - side
    extra, kk = window - 1, window * window
    kinds = step[0] * step[1]
    channels, rows = image[0] // groups, c_out // groups
    c_in = channels * kinds
    n = lanes(grad_weight)
    width = 2 * n
    high, wide = (out_hw[0] + side - 1) // side, (out_hw[1] + side - 1) // side
    pitch, period = side * wide + extra, side * high + extra
    block = GRADIENT_TILES
    most = (block // (high * wide) + 2) * extra + ((block - 1) // wide + 2) * side
    lines = np.empty(kinds * most * pitch + 2 * width, grad_weight.dtype)
    d = np.empty(2 * PLACES * n, grad_weight.dtype)
    row = block + n  # of one channel's tiles
    v = np.empty(PLACES * c_in * row, grad_weight.dtype)
    q = np.empty(PLACES * part * row, grad_weight.dtype)
    a = np.empty((part + ROWS) * block + n, grad_weight.dtype)
    b = np.empty((c_in + width) * block + n, grad_weight.dtype)
    s_row = c_in + n
    sums = np.empty(PLACES * part * s_row, grad_weight.dtype)
    pieces = np.empty((window * IN + kk) * n, grad_weight.dtype)
    corners = np.empty(block, np.int64)
    places = np.arange((c_in + width - 1) // width * width)
    scratch = np.empty(ROWS * width, grad_weight.dtype)
    nothing = grad_weight[:0]
    for job in range(start, stop):
        chunk, group, m0 = job // (parts * groups), job // parts % groups, job % parts * part
        m1 = min(rows, m0 + part)
        begin, end = total * chunk // chunks, total * (chunk + 1) // chunks
        for t0 in range(begin, end, block):
            t1 = min(end, t0 + block)
            depth = t1 - t0
            base = nothing if t0 == begin else sums
            b0, ty0 = t0 // (high * wide), t0 // wide % high
            b1, ty1 = (t1 - 1) // (high * wide), (t1 - 1) // wide % high
            here = (b1 - b0) * period + (ty1 - ty0 + 1) * side + extra
            _corners(t0, t1, high, wide, side, pitch, period, corners)
            for channel in range(channels):
                first = group * channels + channel
                sort_rows(x, image, first, 1, b0, ty0 * side, here, period, step, step, corner, pitch, lines)
                for kind in range(kinds):
                    plane, ic = kind * here * pitch, channel * kinds + kind
                    for t in range(0, depth, n):
                        _gather(lines, plane, corners, t, min(n, depth - t), pitch, IN, d)
                        for i in range(IN):
                            _input_transform(d, i * IN * n, n, d, (PLACES + i * IN) * n, n)
                        for j in range(IN):
                            to = (j * c_in + ic) * row + t
                            _input_transform(d, (PLACES + j) * n, IN * n, v, to, IN * c_in * row)
            for oc in range(m0, m1):
                shape, first = (c_out, out_hw[0], out_hw[1]), group * rows + oc
                sort_rows(grad_out, shape, first, 1, b0, ty0 * side, here, period, (1, 1), (1, 1), (0, 0), pitch, lines)
                for t in range(0, depth, n):
                    _gather(lines, 0, corners, t, min(n, depth - t), pitch, side, d)
                    for i in range(side):
                        _values(d, i * side * n, n, side, False, d, (PLACES + i * IN) * n, n)
                    for j in range(IN):
                        to = (j * part + oc - m0) * row + t
                        _values(d, (PLACES + j) * n, IN * n, side, False, q, to, IN * part * row)
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
                    _coefficients(sums, at, IN * part * s_row, window, True, pieces, j * n, IN * n)
                for i in range(window):
                    to = (window * IN + i * window) * n
                    _coefficients(pieces, i * IN * n, n, window, True, pieces, to, n)
                to = ((chunk * c_out + group * rows + oc) * c_in + ic) * kk
                for lane in range(min(n, c_in - ic)):
                    for tap in range(kk):
                        poke(grad_weight, to + lane * kk + tap, peek(pieces, (window * IN + tap) * n + lane))


def grad_weight(grad_out, x, window, corner, *, step=(1, 1), groups=1):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> (C_out, C_in / groups, KH, KW)."""
    n, c_out, h_out, w_out = grad_out.shape
    side_in = _window(window, step)
    side, rows, channels = SIDES[side_in], c_out // groups, x.shape[1] // groups
    c_in = channels * step[0] * step[1]
    total = n * -(-h_out // side) * -(-w_out // side)
    parts = -(-rows // 128)
    part = -(-rows // (parts * ROWS)) * ROWS
    chunks = max(1, min(8 // (parts * groups), total // (2 * GRADIENT_TILES)))
    sums = np.empty((chunks, c_out, c_in, side_in, side_in), x.dtype)
    launch(
        _winograd_grad_weight, chunks * groups * parts, grad_out.reshape(-1), x.reshape(-1), x.shape[1:], groups,
        (0,) * side, step, c_out, parts, part, corner, (h_out, w_out), total, chunks, sums.reshape(-1),
        work=c_in * part * total / chunks * PLACES / 8,
    )  # fmt: skip
    sums = sums.sum(axis=0) if chunks > 1 else sums[0]
    if step == (1, 1):
        return sums
    kinds = sums.reshape(c_out, channels, *step, side_in, side_in).transpose(0, 1, 4, 2, 5, 3)
    return kinds.reshape(c_out, channels, side_in * step[0], side_in * step[1])[:, :, : window[0], : window[1]]
