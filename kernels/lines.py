"""Images laid out as lines, in which a window has no borders and no stride: for depthwise convolution and max pool.

A window of KH x KW taps slides over each channel, and there is little to compute for a pixel. What counts is to run
along the pixels in whole vectors, whatever the padding, the stride, the dilation and the width of the map are.

- **Lines.** A plane is first laid out as a ``line``: its rows with a border around them, ``pitch`` apart. A tap then
  is one number, its offset along the line: out[q] takes line[q + offset[tap]], without edges and branches.
- **Phases.** A stride of s deals the pixels out to s x s lines: row y, column x to the line (y % s, x % s). Along
  these lines all taps step by 1 again; a tap merely knows its line. Two shuffles deal out two vectors.
- **Flat planes.** Where out is as large as the image and the taps are 3 x 3 neighbours, a plane is copied as it is,
  with zeros before and behind it, and vectors run on over the ends of rows: 10 x 10 pixels are 13 vectors, not 20. On
  a row's left neighbours of the first column, which are the end of the row above, a table has the last word (and so
  on the right). Depthwise forward takes 1.3 to 2 times as long without (7 x 7 1.4, 10 x 10 2, 28 x 28 1.3, 74 x 74
  1.25), the gradient of the weight 1.05 to 1.8 times.
- **Back is forward with the phases on the other side.** grad_out is laid out as one line, each of the s x s phases of
  grad_input takes from its own taps, and the phases are zipped into rows: no scatter, no product with zero.
- **Visits.** The lines of a visit fit into the first-level cache: a ``band`` of the rows of a large plane, or many
  small planes ``together`` (depthwise, 7 x 7: 2 times as fast as one by one, 14 x 14: 1.5, 28 x 28: 1.1).
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from minicnn.kernels.jit import kernel
from minicnn.kernels.patches import inside
from minicnn.kernels.simd import (
    VECTOR_BYTES,
    even,
    lanes,
    load,
    load_part,
    odd,
    peek,
    poke,
    splat,
    store,
    zip_high,
    zip_low,
)

FLAT = 5600  # pixels in a flat plane at most
LINES = 6144  # numbers in the lines of a visit: 24 KB of float32 (16 KB: 0.95 times as fast, 12 KB: 0.92)


@kernel(allocates=False)
def lay(x, at, apart, planes, size, corner, step, row, rows, clear, border, pitch, line, phase):
    """Deal planes of x out to lines, ``rows`` rows of each phase from row ``row`` on, with ``border`` around the image.

    Plane p starts at ``x[at + p * apart]``; its lines are step[0] x step[1] phases of ``phase`` numbers. Rows outside
    the image need ``clear`` only where a line held other rows before: lines are full of ``border`` to begin with.
    """
    n = lanes(x)
    outside = splat(x, border)
    h, w = size
    first, skipped = max(corner[1], 0), max(-corner[1], 0)  # a negative corner cuts pixels off
    count = max(0, min(w - skipped, pitch * step[1] - first))
    whole = count // (step[1] * n) * (step[1] * n)
    rest = count - whole
    to_even, to_odd = first // 2 + first % 2 * phase, (first + 1) // 2 + (1 - first % 2) * phase  # of a step of 2
    y = row * step[0] - corner[0]
    top, bottom = inside(y, 1, rows * step[0], h)
    for p in range(planes):
        start = p * step[0] * step[1] * phase
        if clear:
            for parity in range(step[0]):
                above, below = (top - parity + step[0] - 1) // step[0], (bottom - parity + step[0] - 1) // step[0]
                for k in range(start + parity * step[1] * phase, start + (parity + 1) * step[1] * phase, phase):
                    for q in range(k, k + above * pitch, n):
                        store(line, q, outside)
                    for q in range(k + below * pitch, k + rows * pitch, n):
                        store(line, q, outside)
        here, start, parity = at + p * apart + (y + top) * w + skipped, start + top // step[0] * pitch, top % step[0]
        # A whole vector at the end of a row puts the border on the seam, and on what the next row writes later.
        for _ in range(
            top, bottom
        ):  # in the order of memory: stride 2 takes 1.1 to 1.3 times as long phase after phase
            there = start + parity * step[1] * phase
            if step[1] == 1:
                for i in range(0, whole, n):
                    store(line, there + first + i, load(x, here + i))
                store(line, there + first + whole, load_part(x, here + whole, count % n, border))
            elif step[1] == 2:
                for i in range(0, whole, 2 * n):
                    a, b = load(x, here + i), load(x, here + i + n)
                    store(line, there + to_even + i // 2, even(a, b))
                    store(line, there + to_odd + i // 2, odd(a, b))
                a, b = load_part(x, here + whole, rest, border), load_part(x, here + whole + n, rest - n, border)
                store(line, there + to_even + whole // 2, even(a, b))
                store(line, there + to_odd + whole // 2, odd(a, b))
            else:
                for i in range(count):
                    poke(line, there + (first + i) % step[1] * phase + (first + i) // step[1], peek(x, here + i))
            here, parity = here + w, parity + 1
            if parity == step[0]:
                start, parity = start + pitch, 0


@kernel(allocates=False)
def pick(line, phase, pitch, step, row, rows, planes, size, out, at, stop):
    """Zip the phases of planes into ``out``, ``rows`` rows from row ``row`` on, never beyond ``out[stop - 1]``."""
    n = lanes(out)
    h, w = size
    span = (w + step[1] * n - 1) // (step[1] * n) * (step[1] * n)
    for p in range(planes):
        here = at + (p * h + row * step[0]) * w
        for r in range(rows):
            for parity in range(min(step[0], h - (row + r) * step[0])):
                there = (p * step[0] + parity) * step[1] * phase + r * pitch
                # What a whole vector writes behind the end of a row is written again by the next row.
                if step[1] == 1 and here + span <= stop:
                    for i in range(0, span, n):
                        store(out, here + i, load(line, there + i))
                elif step[1] == 2 and here + span <= stop:
                    for i in range(0, span, 2 * n):
                        a, b = load(line, there + i // 2), load(line, there + phase + i // 2)
                        store(out, here + i, zip_low(a, b))
                        store(out, here + i + n, zip_high(a, b))
                else:
                    for i in range(w):
                        poke(out, here + i, peek(line, there + i % step[1] * phase + i // step[1]))
                here += w


class Plan(NamedTuple):
    """What kernels need to know of a geometry: sizes, and the taps of phase f, from ``ends[f]`` to ``ends[f + 1]``.

    ``taps`` holds (offset along the line, place in the filter) of each tap, and is filled up to whole groups of nine.
    """

    sizes: tuple
    taps: np.ndarray
    ends: np.ndarray
    sides: np.ndarray  # of a flat plane: 1 where there is a pixel on the left, 0 where there is none; then on the right


def _axis(kernel, stride, begin, dilation, back):
    """Return the taps of one axis as (target phase, source phase, shift), and how far the source is shifted.

    Forward, out[r] takes x[r * stride + k * dilation - begin]. Back, grad_input[r * stride + f] takes
    grad_out[r + (f + begin - k * dilation) / stride], for the taps for which this is whole: a tap belongs to one f.
    """
    if not back:
        return [(0, k * dilation % stride, k * dilation // stride) for k in range(kernel)], begin
    phases = [(k * dilation - begin) % stride for k in range(kernel)]
    shifts = [(f + begin - k * dilation) // stride for k, f in enumerate(phases)]
    return [(f, 0, shift - min(shifts)) for f, shift in zip(phases, shifts, strict=True)], -min(shifts)


@lru_cache(maxsize=256)
def plan(size, out_size, kernel, stride, padding, dilation, n, strip, back=False, flat=False):
    """Plan the walk from x (``size``) to out (``out_size``), or ``back`` from grad_out to grad_input, for n lanes.

    A phase of out has whole vectors and whole strips of ``strip`` rows, which share a tap. Where 3 x 3 neighbours are
    asked for, planes are laid ``flat`` if they fit: the last of ``sizes`` is then the width of their rows, else 0.
    """
    rows, top = _axis(kernel[0], stride[0], padding[0][0], dilation[0], back)
    columns, left = _axis(kernel[1], stride[1], padding[1][0], dilation[1], back)
    split, zipped = ((1, 1), stride) if back else (stride, (1, 1))
    height, width = -(-out_size[0] // zipped[0]), -(-out_size[1] // (zipped[1] * n)) * n  # of a phase, in whole vectors
    reach, pitch = max(shift for _, _, shift in rows), width + max(shift for _, _, shift in columns)
    pitch = -(-pitch // n) * n
    fit = LINES // (pitch * stride[0] * stride[1])  # rows
    bands = -(-height // max(fit - reach, strip))
    band = -(-height // bands)
    strips = -(-band // strip) * strip
    together = max(1, fit // (strips + reach))
    phase = (strips + reach) * pitch + n
    taps = sorted(
        (to_y * zipped[1] + to_x, (y * split[1] + x) * phase + down * pitch + right, ky * kernel[1] + kx)
        for ky, (to_y, y, down) in enumerate(rows)
        for kx, (to_x, x, right) in enumerate(columns)
    )
    ends = np.searchsorted([phase_of_out for phase_of_out, _, _ in taps], np.arange(zipped[0] * zipped[1] + 1))
    table = np.array([tap for _, *tap in taps] + [(0, 0)] * (-len(taps) % 9)).reshape(-1)
    dense = kernel == (3, 3) and stride == dilation == (1, 1)
    corner, result, sides, w, area = (top, left), (strips, width), np.zeros((2, 0)), 0, prod(size)
    if flat and dense and size == out_size and corner == (1, 1) and n <= area <= FLAT:  # one row, corner above it
        w, columns = size[1], np.arange(area) % size[1]
        sides = np.array([np.pad(side, (0, n)) for side in (columns > 0, columns < w - 1)])
        size, out_size, corner, result, reach, band = (1, area), (1, area), (0, w + 1), (0, 0), 0, 1
        pitch = area + 2 * w + 2
        phase = pitch + n
        together = max(1, LINES // phase)
    sizes = (size, out_size, corner, split, zipped, reach, pitch, phase, result, band, together, dense, w)
    return Plan(sizes, table, ends, sides.reshape(-1).astype(f"f{VECTOR_BYTES // n}"))
