"""Pixels sorted by their phase: for a step of 2, those at even places and those at odd ones.

A row of windows that are ``step`` apart looks at every ``step``-th pixel: their first taps at 0, 2, 4, ..., their second
ones at 1, 3, 5, ... Once the rows and columns of each phase lie side by side, with a border around the image,
one tap of all windows of a row is one stretch of memory, whatever the stride, the padding and the dilation:

    tap k of window t   is   number t + k * dilation // step   of phase   k * dilation % step

A pool then reads whole vectors and knows of no edges.
"""

from minicnn.kernels.jit import kernel
from minicnn.kernels.simd import even, lanes, load_part, odd, peek, poke, splat, store

BLOCK = 4096  # numbers that are held at a time: they stay in the first-level cache


@kernel
def held_rows(rows, reach, pitch):
    """Return how many of a plane's rows to hold at a time, each with ``reach`` further ones, and of how many planes.

    Small planes come several at a time: what has just been stored cannot be loaded at another alignment without waiting.
    """
    return min(rows, max(1, BLOCK // pitch - reach)), max(1, BLOCK // (pitch * (rows + reach)))


@kernel
def deal(image, at, size, first, rows, step, corner, border, phases, to, pitch, apart):
    """Sort rows of the (H, W) image at ``image[at]``, padded by ``corner = (top, left)``, into phases at ``phases[to]``.

    Phase (py, px) lies at ``(py * step[1] + px) * apart`` and gets rows ``first``, ``first + 1``, .. of its own, ``pitch``
    apart, the pixels of row ``(first + row) * step[0] + py`` of the padded image. What stands around the image must hold ``border``
    already. Vectors are stored whole: their ends are written over by the next row, and two must fit behind the last one.
    """
    n = lanes(image)
    (h, w), left = size, corner[1]
    even_to = left % 2 * apart + left // 2  # of the pixels 0, 2, .. for a step of 2
    odd_to = (left + 1) % 2 * apart + (left + 1) // 2
    for row in range(rows):
        for py in range(step[0]):
            y, there = (first + row) * step[0] + py - corner[0], to + py * step[1] * apart + row * pitch
            here = at + y * w
            if y < 0 or y >= h:
                for px in range(step[1]):
                    for i in range(0, pitch, n):
                        store(phases, there + px * apart + i, splat(image, border))
            elif step[1] == 1:
                for i in range(0, w, n):
                    store(phases, there + left + i, load_part(image, here + i, w - i, border))
            elif step[1] == 2:
                for i in range(0, w, 2 * n):
                    a, b = load_part(image, here + i, w - i, border), load_part(image, here + i + n, w - i - n, border)
                    store(phases, there + even_to + i // 2, even(a, b))
                    store(phases, there + odd_to + i // 2, odd(a, b))
            else:
                for i in range(left, left + w):
                    poke(phases, there + i % step[1] * apart + i // step[1], peek(image, here + i - left))
