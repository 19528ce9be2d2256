"""The matrix product that every convolution and every linear layer comes down to.

    C[i, j] += sum over k of A[i, k] * B[k, j]

The fast way is always the same. A ``tile`` of C, 6 rows by 2 vectors, stays in registers while k runs; each
step loads 2 vectors of B, broadcasts 6 numbers of A, and does 12 fused multiply-adds. To let these loads
run straight through memory, A and B are copied first (``pack``) into panels:

    A panel: 6 rows,    a[k * 6 + i]
    B panel: 2 vectors, b[k * width + j]       width = 2 * lanes

Whoever can fill a B panel has a matrix product: a matrix does it with ``pack``, a convolution with the
patches of an image (conv2d.py). What fills the places of missing rows and columns does not matter: it is never stored.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import broadcast, fma, lanes, load, splat, store, tuple_setitem

ROWS = 6  # of a tile: 6 x 2 sums, 2 vectors of B and 1 of A fill the 16 registers of AVX2
DEPTH = 256  # steps of k between two visits to C: a B panel of this depth stays in the first-level cache
COLUMN_PANELS = 12  # B panels that a job packs at a time: 256 x 12 x 64 bytes stay in the second-level cache
ROW_PANELS = 16  # A panels that a job of ``matmul`` packs at a time


@kernel
def tile(depth, a, a_at, b, b_at, c, c_at, c_row, rows, columns, add, scratch):
    """Multiply an A panel (at ``a[a_at]``) by a B panel (at ``b[b_at]``) into C at ``c[c_at]``, rows ``c_row`` apart.

    With ``add`` the product is added to what is in C. Only ``rows`` x ``columns`` of it are stored.
    """
    n = lanes(c)
    zero = splat(c, 0)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
    for k in range(depth):
        b0 = load(b, b_at + k * 2 * n)
        b1 = load(b, b_at + k * 2 * n + n)
        for i in range(6):
            ai = broadcast(a, a_at + k * 6 + i)
            sums = tuple_setitem(sums, 2 * i, fma(ai, b0, sums[2 * i]))
            sums = tuple_setitem(sums, 2 * i + 1, fma(ai, b1, sums[2 * i + 1]))
    if rows == 6 and columns == 2 * n:
        for i in range(6):
            for v in range(2):
                at = c_at + i * c_row + v * n
                if add:
                    store(c, at, load(c, at) + sums[2 * i + v])
                else:
                    store(c, at, sums[2 * i + v])
    else:
        for i in range(6):
            for v in range(2):
                store(scratch, (2 * i + v) * n, sums[2 * i + v])
        for i in range(rows):
            for j in range(columns):
                if add:
                    c[c_at + i * c_row + j] += scratch[i * 2 * n + j]
                else:
                    c[c_at + i * c_row + j] = scratch[i * 2 * n + j]


@kernel
def pack(source, at, across, along, count, depth, width, panel, panel_at):
    """Fill ``count`` columns of a panel: ``panel[panel_at + k * width + j] = source[at + j * across + k * along]``.

    The columns that are missing to a full panel may hold anything: what comes of them is never stored.
    """
    if across == 1:
        for k in range(depth):
            here, there = panel_at + k * width, at + k * along
            if count == width and width % lanes(panel) == 0:
                for j in range(0, width, lanes(panel)):
                    store(panel, here + j, load(source, there + j))
            else:
                for j in range(count):
                    panel[here + j] = source[there + j]
    else:
        for j in range(count):
            here, there = panel_at + j, at + j * across
            for k in range(depth):
                panel[here + k * width] = source[there + k * along]


@kernel
def _matmul(start, stop, a, a_row, a_k, b, b_k, b_column, m, k, n, column_blocks, c):
    width = 2 * lanes(c)
    a_panels = np.zeros(ROW_PANELS * ROWS * DEPTH, c.dtype)
    b_panel = np.zeros(width * DEPTH, c.dtype)
    scratch = np.empty(ROWS * width, c.dtype)
    for job in range(start, stop):
        i0 = job // column_blocks * (ROW_PANELS * ROWS)
        j0 = job % column_blocks * (COLUMN_PANELS * width)
        i1, j1 = min(m, i0 + ROW_PANELS * ROWS), min(n, j0 + COLUMN_PANELS * width)
        for k0 in range(0, k, DEPTH):
            dk = min(DEPTH, k - k0)
            for i in range(i0, i1, ROWS):
                rows = min(ROWS, m - i)
                pack(a, i * a_row + k0 * a_k, a_row, a_k, rows, dk, ROWS, a_panels, (i - i0) * dk)
            for j in range(j0, j1, width):
                columns = min(width, n - j)
                pack(b, k0 * b_k + j * b_column, b_column, b_k, columns, dk, width, b_panel, 0)
                for i in range(i0, i1, ROWS):
                    rows = min(ROWS, m - i)
                    tile(dk, a_panels, (i - i0) * dk, b_panel, 0, c, i * n + j, n, rows, columns, True, scratch)


def matmul(a, b, start=None):
    """Return ``a @ b`` for matrices (m, k) and (k, n), plus ``start`` (broadcast to (m, n)) if given.

    Transposed views are welcome: only strides matter, nothing is copied but the panels.
    """
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), a.dtype)
    if start is not None:
        c += start
    size = a.itemsize
    a_row, a_k = a.strides[0] // size, a.strides[1] // size
    b_k, b_column = b.strides[0] // size, b.strides[1] // size
    width = 2 * lanes(c)
    row_blocks, column_blocks = -(-m // (ROW_PANELS * ROWS)), -(-n // (COLUMN_PANELS * width))
    launch(
        _matmul, row_blocks * column_blocks, flat(a), a_row, a_k, flat(b), b_k, b_column, m, k, n, column_blocks,
        c.reshape(-1), work=2 * k * min(m, ROW_PANELS * ROWS) * min(n, COLUMN_PANELS * width) / 8,
    )  # fmt: skip
    return c


def flat(matrix):
    """Return the memory of a matrix that is contiguous, or the transpose of one that is, as one axis."""
    return matrix.reshape(-1) if matrix.flags.c_contiguous else matrix.T.reshape(-1)
