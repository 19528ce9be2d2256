"""Pixels sorted by their phase: for a step of 2, those at even places and those at odd ones.

A row of windows that are ``step`` apart looks at every ``step``-th pixel: their first taps at 0, 2, 4, ..., their second
ones at 1, 3, 5, ... Once the rows and columns of each phase lie side by side, with a border around the image,
one tap of all windows is one stretch of memory, whatever the stride, the padding and the dilation:

    tap k of window t   is   number t + k * dilation // step   of phase   k * dilation % step

A pool is then one loop of whole vectors per tap, which knows of no edges. ``deal`` sorts, ``collect`` undoes it.

Phase (py, px) lies at ``(py * step[1] + px) * apart`` and has rows of ``pitch`` numbers: of the image that is padded by
``corner = (top, left)``, row ``(first + row) * step[0] + py``, pixel ``i * step[1] + px``. Both functions write whole vectors:
what is too much at the end of a row is written over by the next one, so vectors of room must follow the last.
"""

from minicnn.kernels.jit import kernel
from minicnn.kernels.simd import even, lanes, load, load_part, odd, peek, poke, splat, store, store_part, zip_high, zip_low


@kernel
def deal(image, at, size, first, rows, step, corner, border, phases, pitch, apart):
    """Sort ``rows`` rows of each phase out of the image at ``image[at]``; the left border must stand there already."""
    n = lanes(image)
    (h, w), left = size, corner[1]
    even_at = left % 2 * apart + left // 2  # of the pixels 0, 2, .. for a step of 2; of 1, 3, ..:
    odd_at = (left + 1) % 2 * apart + (left + 1) // 2
    for row in range(rows):
        for phase in range(step[0]):
            y, to = (first + row) * step[0] + phase - corner[0], phase * step[1] * apart + row * pitch
            here = at + y * w
            if y < 0 or y >= h:
                for px in range(step[1]):
                    for i in range(0, pitch, n):
                        store(phases, to + px * apart + i, splat(image, border))
            elif step[1] == 1:
                for i in range(0, w, n):
                    store(phases, to + left + i, load_part(image, here + i, w - i, border))
            elif step[1] == 2:
                for i in range(0, w, 2 * n):
                    a, b = load_part(image, here + i, w - i, border), load_part(image, here + i + n, w - i - n, border)
                    store(phases, to + even_at + i // 2, even(a, b))
                    store(phases, to + odd_at + i // 2, odd(a, b))
            else:
                for i in range(left, left + w):
                    poke(phases, to + i % step[1] * apart + i // step[1], peek(image, here + i - left))


@kernel
def collect(phases, pitch, apart, first, rows, step, corner, image, at, size, end):
    """Put ``rows`` rows of each phase back into the image at ``image[at]``; from ``image[end]`` on nothing is written."""
    n = lanes(image)
    (h, w), left = size, corner[1]
    even_at = left % 2 * apart + left // 2
    odd_at = (left + 1) % 2 * apart + (left + 1) // 2
    for row in range(rows):
        for phase in range(step[0]):
            y, there = (first + row) * step[0] + phase - corner[0], phase * step[1] * apart + row * pitch
            to = at + y * w
            if y < 0 or y >= h:
                continue
            if step[1] == 1:
                for i in range(0, w, n):
                    store_part(image, to + i, end - to - i, load(phases, there + left + i))
            elif step[1] == 2:
                for i in range(0, w, 2 * n):
                    a, b = load(phases, there + even_at + i // 2), load(phases, there + odd_at + i // 2)
                    store_part(image, to + i, end - to - i, zip_low(a, b))
                    if i + n < w:
                        store_part(image, to + i + n, end - to - i - n, zip_high(a, b))
            else:
                for i in range(left, left + w):
                    poke(image, to + i - left, peek(phases, there + i % step[1] * apart + i // step[1]))
