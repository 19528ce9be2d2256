"""The matrix product that every convolution and every linear layer comes down to.

    C[i, j] = sum over k of A[i, k] * B[k, j]

The fast way is always the same. A ``tile`` of C, 6 rows by 2 vectors, stays in registers while k runs; each
step loads 2 vectors of B, broadcasts 6 numbers of A, and does 12 fused multiply-adds. To let these loads
run straight through memory, A and B are copied first (``pack``) into panels:

    A panel: 6 rows,    a[k * 6 + i]
    B panel: 2 vectors, b[k * width + j]       width = 2 * lanes

Whoever can fill a B panel has a matrix product: a matrix does it with ``pack``, a convolution with the
patches of an image (patches.py). What fills the places of missing rows and columns does not matter: it is never stored.

While a tile is still in registers, its *epilogue* adds a bias and cuts at zero (and six), so that a convolution
with bias and ReLU goes through memory once.

What was gained by what (EPYC with AVX2, float32, one thread):

- No reference counts (``allocates=False``), then no call (``inline``): tiles of depth 64 run 1.2 and another 1.1 times
  as fast, of depth 9 1.5 times. At depth 256 a tile reaches 95 % of the arithmetic that the machine can do.
- The last rows, if four or fewer, as a tile of four: 1.03 to 1.12 times for 1 x 1 convolutions, which often have 64 or
  16 outputs; with 4 x 2 sums the multiply-adds still do not wait for each other.
- The loops over tiles as a function of their own, so that pointers stay in registers: up to 1.3 times.
- Asking for C's cache lines before the sums are worked out: 1.04 times for 1 x 1 convolutions. Asking for the rows of a
  matrix that are packed next: 1.4 times for the gradient of a linear layer of 9216 x 4096, which is read from main
  memory.
- Tried without gain: unrolling k, other depths and block sizes, wide pieces of few rows for thin products.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.jit import get_num_threads, kernel, launch, second_level_cache
from minicnn.kernels.simd import (
    VECTOR_BYTES,
    broadcast,
    fma,
    lane,
    lanes,
    load,
    maximum,
    minimum,
    peek,
    poke,
    prefetch,
    splat,
    square,
    store,
    total,
    transpose,
    tuple_setitem,
)

ROWS = 6  # of a tile: 6 x 2 sums, 2 vectors of B and 1 of A fill the 16 registers of AVX2
DEPTH = 256  # steps of k between two visits to C: a B panel of this depth stays in the first-level cache
# Of the second-level cache, B panels that a job packs at a time take two fifths, A panels three eighths. With 512 KiB
# and 32-byte vectors these are 13 (four images of 7 x 7 pixels) and 32.
COLUMN_PANELS = max(4, second_level_cache() * 13 // 32 // (DEPTH * 2 * VECTOR_BYTES))
ROW_PANELS = max(8, second_level_cache() * 3 // 8 // (DEPTH * ROWS * 4))
CHUNKS = 8  # jobs that are made at least, if the shapes allow
THIN, THIN_DEPTH = 48, 1024  # up to so many rows of A, B is read in place, and so many steps at a time
FEW_ROWS = 4  # up to so many rows of A, B is used in place: packing it would cost more than the product
STRETCH = 8192  # columns of such a product in a job: C's stay in the first-level cache
ACTIVATIONS = {None: 0, "relu": 1, "relu6": 2}


@kernel(inline=True)
def _multiply(sums, rows, depth, a, a_at, a_row, a_step, b, b_at, steps):
    """Add to ``sums`` the products of ``rows`` rows of A, a number known to the compiler, with two vectors of B."""
    n = lanes(b)
    for k in range(depth):
        row = b_at + (k * 2 * n if steps is None else peek(steps, k))
        b0 = load(b, row)
        b1 = load(b, row + n)
        for i in range(rows):
            ai = broadcast(a, a_at + i * a_row + k * a_step)
            sums = tuple_setitem(sums, 2 * i, fma(ai, b0, sums[2 * i]))
            sums = tuple_setitem(sums, 2 * i + 1, fma(ai, b1, sums[2 * i + 1]))
    return sums


@kernel(inline=True)
def tile(
    depth,
    a,
    a_at,
    a_row,
    a_step,
    b,
    b_at,
    steps,
    base,
    bias,
    bias_at,
    activation,
    c,
    c_at,
    c_row,
    places,
    places_at,
    ordered,
    rows,
    columns,
    scratch,
):
    """Multiply an A panel (at ``a[a_at]``) by a B panel (at ``b[b_at]``) into ``rows`` x ``columns`` places of C.

    Row i, step k of A is ``a[a_at + i * a_row + k * a_step]``: 1 and ROWS in a packed panel. Row k of B starts at
    ``b[b_at + steps[k]]``: k * width in a packed panel, anywhere in an image that is used in place. Row i, column j of
    the tile is ``c[c_at + i * c_row + places[places_at + j]]``, or nowhere if that place is negative. Where not empty,
    ``base`` (laid out as C; C itself for a sum that goes on) and ``bias[bias_at + i]`` are added first; ``activation``
    is a value of ACTIVATIONS.
    """
    n = lanes(c)
    zero = splat(c, 0)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    first, last = places[places_at], places[places_at + 2 * n - 1]
    for i in range(6):
        prefetch(c, c_at + i * c_row + first)
        prefetch(c, c_at + i * c_row + first + 2 * n - 1)
        if base.size > 0:
            prefetch(base, c_at + i * c_row + first)
            prefetch(base, c_at + i * c_row + first + 2 * n - 1)
    if rows > 4:
        sums = _multiply(sums, 6, depth, a, a_at, a_row, a_step, b, b_at, steps)
    else:
        sums = _multiply(sums, 4, depth, a, a_at, a_row, a_step, b, b_at, steps)
    if ordered and columns == 2 * n and last - first == 2 * n - 1:
        for i in range(6):
            if i >= rows:
                break
            for v in range(2):
                at = c_at + i * c_row + first + v * n
                value = sums[2 * i + v]
                if base.size > 0:
                    value = value + load(base, at)
                if bias.size > 0:
                    value = value + broadcast(bias, bias_at + i)
                if activation > 0:
                    value = maximum(zero, value)
                if activation > 1:
                    value = minimum(splat(c, 6), value)
                store(c, at, value)
    else:
        for i in range(6):
            for v in range(2):
                store(scratch, (2 * i + v) * n, sums[2 * i + v])
        for i in range(rows):
            for j in range(columns):
                place = peek(places, places_at + j)
                if place < 0:
                    continue
                number = peek(scratch, i * 2 * n + j)
                if base.size > 0:
                    number += peek(base, c_at + i * c_row + place)
                if bias.size > 0:
                    number += peek(bias, bias_at + i)
                if activation > 0 and number < 0:
                    number = scratch.dtype.type(0)
                if activation > 1 and number > 6:
                    number = scratch.dtype.type(6)
                poke(c, c_at + i * c_row + place, number)


@kernel(allocates=False)
def tiles(
    depth, a, a_at, b, b_at, panel, base, bias, bias_at, activation, c, c_at, c_row, places, places_at, rows, columns,
    scratch,
):  # fmt: skip
    """Multiply A panels of ``rows`` rows by B panels of ``columns`` columns, ``panel`` apart.

    The rest as for a tile. These loops are a function of their own, for the compiler has too few registers for
    their callers' numbers and a tile's: a tile that reloads its pointers takes up to 1.1 times as long.
    """
    width = 2 * lanes(c)
    for p in range(0, columns, width):
        for m in range(0, rows, ROWS):
            tile(
                depth, a, a_at + m * depth, 1, ROWS, b, b_at + p // width * panel, None, base, bias, bias_at + m,
                activation, c, c_at + m * c_row, c_row, places, places_at + p, True, min(ROWS, rows - m),
                min(width, columns - p), scratch,
            )  # fmt: skip


@kernel(allocates=False, literal="width")
def pack(source, at, across, along, count, depth, width, panels, panels_at):
    """Fill panels of ``width`` columns, one after the other, until all ``count`` columns have their place.

    Column j, step k is ``source[at + j * across + k * along]`` and goes to place ``(j // width * depth + k) * width + j
    % width``. The columns that are missing to the last panel may hold anything afterwards.
    """
    n = lanes(panels)
    # Vectors reach beyond the columns of a row into the rows that follow. Those are filled later; the last ones singly.
    spare = ((width + n - 1) // n * n - 1) // width
    if across == 1:
        for k in range(depth):
            for j in range(0, count, width):
                here, there = panels_at + j * depth + k * width, at + k * along + j
                room = width % n == 0 or (k + spare < depth and there + width + n <= source.size)
                if j + width <= count and room:
                    prefetch(source, there + 8 * along)
                    for i in range(0, width, n):
                        store(panels, here + i, load(source, there + i))
                else:
                    for i in range(min(width, count - j)):
                        poke(panels, here + i, peek(source, there + i))
        return
    zero = splat(panels, 0)
    for first in range(0, count, width):
        here, there, columns = panels_at + first * depth, at + first * across, min(width, count - first)
        k = 0
        if along == 1:  # squares of vectors, transposed in registers
            while k + n + spare <= depth:
                # A vector may reach beyond the row; the last group goes first, so that the others set that right.
                for j in range((width - 1) // n * n, -1, -n):
                    block = square(zero)
                    for i in range(n):
                        block = tuple_setitem(block, i, load(source, there + min(j + i, columns - 1) * across + k))
                        prefetch(source, there + (width + j + i) * across + k)
                    block = transpose(block)
                    for i in range(n):
                        store(panels, here + (k + i) * width + j, block[i])
                k += n
        for j in range(columns):
            for rest in range(k, depth):
                poke(panels, here + rest * width + j, peek(source, there + j * across + rest * along))


@kernel
def _matmul(start, stop, a, a_row, a_k, b, b_k, b_column, m, k, n, parts, begun, c):
    """Job: a part of the rows of a block of C's columns. ``begun`` tells that C holds numbers already, to which the
    product is added.
    """
    width = 2 * lanes(c)
    a_panels = np.empty(ROW_PANELS * ROWS * DEPTH + lanes(c), c.dtype)
    b_panels = np.empty(COLUMN_PANELS * width * DEPTH + lanes(c), c.dtype)
    scratch = np.empty(ROWS * width, c.dtype)
    places = np.arange(COLUMN_PANELS * width)
    nothing = c[:0]
    for job in range(start, stop):
        j0, part = job // parts * (COLUMN_PANELS * width), job % parts
        j1 = min(n, j0 + COLUMN_PANELS * width)
        m0, m1 = m * part // parts // ROWS * ROWS, m * (part + 1) // parts // ROWS * ROWS if part + 1 < parts else m
        for k0 in range(0, k, DEPTH):
            depth = min(DEPTH, k - k0)
            base = c if begun or k0 > 0 else nothing
            pack(b, k0 * b_k + j0 * b_column, b_column, b_k, j1 - j0, depth, width, b_panels, 0)
            for i0 in range(m0, m1, ROW_PANELS * ROWS):
                i1 = min(m1, i0 + ROW_PANELS * ROWS)
                pack(a, i0 * a_row + k0 * a_k, a_row, a_k, i1 - i0, depth, ROWS, a_panels, 0)
                tiles(
                    depth, a_panels, 0, b_panels, 0, depth * width, base, nothing, 0, 0, c, i0 * n + j0, n, places, 0,
                    i1 - i0, j1 - j0, scratch,
                )  # fmt: skip


@kernel
def _turned_matmul(start, stop, a, a_row, a_k, b, m, k, n, part, begun, c):
    """Job: ``part`` columns of C, when every column of B lies in one piece and A has no more than THIN rows.

    The transpose of C is worked out, B' times A': packing B would cost a fourth of the product, but as the left side of
    a tile it is read where it lies, once.
    """
    width = 2 * lanes(c)
    panels = np.empty((m + width - 1) // width * width * THIN_DEPTH + lanes(c), c.dtype)
    last = np.empty(ROWS * THIN_DEPTH + lanes(c), c.dtype)
    scratch = np.empty(ROWS * width, c.dtype)
    places = np.arange(0, m * n + width * n, n)
    nothing = c[:0]
    for job in range(start, stop):
        j0, j1 = job * part, min(n, (job + 1) * part)
        for k0 in range(0, k, THIN_DEPTH):
            depth = min(THIN_DEPTH, k - k0)
            base = c if begun or k0 > 0 else nothing
            pack(a, k0 * a_k, a_row, a_k, m, depth, width, panels, 0)
            for j in range(j0, j1, ROWS):
                left, at, row, step = b, j * k + k0, k, 1
                if j + ROWS > j1:
                    pack(b, at, k, 1, j1 - j, depth, ROWS, last, 0)
                    left, at, row, step = last, 0, 1, ROWS
                for i in range(0, m, width):
                    tile(
                        depth, left, at, row, step, panels, i * depth, None, base, nothing, 0, 0,
                        c, j, 1, places, i, True, min(ROWS, j1 - j), min(width, m - i), scratch,
                    )  # fmt: skip


@kernel
def _dots(start, stop, a, b, m, k, n, c):
    """Job: 4 columns of C, when every column of B lies in one piece: C[i, j] += A[i] . B[j].

    Four columns keep the memory busier than one: 1.45 times as fast.
    """
    v = lanes(c)
    zero = splat(c, 0)
    for job in range(start, stop):
        j = job * 4
        columns = (j * k, min(j + 1, n - 1) * k, min(j + 2, n - 1) * k, min(j + 3, n - 1) * k)
        for i in range(m):
            sums = (zero, zero, zero, zero, zero, zero, zero, zero)
            x, t = i * k, 0
            while t + 2 * v <= k:
                for half in range(2):
                    ai = load(a, x + t + half * v)
                    for s in range(4):
                        at = columns[s] + t + half * v
                        sums = tuple_setitem(sums, 2 * s + half, fma(ai, load(b, at), sums[2 * s + half]))
                t += 2 * v
            for s in range(4):
                if j + s < n:
                    number = lane(total(sums[2 * s] + sums[2 * s + 1]), 0)
                    for rest in range(t, k):
                        number += peek(a, x + rest) * peek(b, columns[s] + rest)
                    c[i * n + j + s] += number


@kernel
def _weighted_rows(start, stop, a, b, m, k, n, c):
    """Job: STRETCH columns of C, when every row of B lies in one piece: C[i] += A[i, k] * B[k], 8 rows at a time."""
    v = lanes(c)
    for job in range(start, stop):
        j0, j1 = job * STRETCH, min(n, (job + 1) * STRETCH)
        for k0 in range(0, k, 8):
            for i in range(m):
                x, j = i * k + k0, j0
                if k0 + 8 <= k:
                    while j + v <= j1:
                        sums = load(c, i * n + j)
                        for s in range(8):
                            sums = fma(broadcast(a, x + s), load(b, (k0 + s) * n + j), sums)
                        store(c, i * n + j, sums)
                        j += v
                for rest in range(j, j1):
                    for s in range(min(8, k - k0)):
                        c[i * n + rest] += peek(a, x + s) * peek(b, (k0 + s) * n + rest)


def matmul(a, b, start=None):
    """Return ``a @ b`` for matrices (m, k) and (k, n), plus ``start`` (broadcast to (m, n)) if given.

    Transposed views are welcome: only strides matter, nothing is copied but the panels. A few rows (a batch of one) are
    limited by reading b, once: they take it as it lies.
    """
    (m, k), n = a.shape, b.shape[1]
    few = m <= FEW_ROWS and a.flags.c_contiguous
    begun = few or start is not None or k == 0
    c = np.empty((m, n), a.dtype)
    if begun:
        c[...] = 0 if start is None else start
    if few and b.flags.f_contiguous:
        launch(_dots, -(-n // 4), a.reshape(-1), flat(b), m, k, n, c.reshape(-1), work=m * k)
        return c
    if few:
        launch(
            _weighted_rows, -(-n // STRETCH), a.reshape(-1), flat(b), m, k, n, c.reshape(-1), work=m * k * STRETCH / 4
        )
        return c
    size = a.itemsize
    a_row, a_k = a.strides[0] // size, a.strides[1] // size
    b_k, b_column = b.strides[0] // size, b.strides[1] // size
    if m <= THIN and b_k == 1:
        part = -(-n // (CHUNKS * ROWS)) * ROWS
        launch(
            _turned_matmul, -(-n // part), flat(a), a_row, a_k, flat(b), m, k, n, part, begun, c.reshape(-1),
            work=m * k * part / 8,
        )  # fmt: skip
        return c
    width = 2 * lanes(c)
    blocks = -(-n // (COLUMN_PANELS * width))
    parts = 1 if get_num_threads() == 1 else max(1, min(-(-CHUNKS // blocks), m // (4 * ROWS)))
    launch(
        _matmul, blocks * parts, flat(a), a_row, a_k, flat(b), b_k, b_column, m, k, n, parts, begun, c.reshape(-1),
        work=k * m / parts * min(n, COLUMN_PANELS * width) / 8,
    )  # fmt: skip
    return c


def flat(matrix):
    """Return the memory of a matrix that is contiguous, or the transpose of one that is, as one axis."""
    return matrix.reshape(-1) if matrix.flags.c_contiguous else matrix.T.reshape(-1)
