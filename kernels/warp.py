"""An image bent, fast. Read reference/warp.py first.

- A row of the result is a job; where each of its pixels comes from is computed once for all colours.
- Far outside, all four pixels are ``fill``: no arithmetic at all.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _warp(start, stop, image, matrix, fill, half, out):
    for y in range(start, stop):
        down = y + 0.5
        for x in range(image.shape[2]):
            right = x + 0.5
            u = matrix[0, 0] * right + matrix[0, 1] * down + matrix[0, 2]
            v = matrix[1, 0] * right + matrix[1, 1] * down + matrix[1, 2]
            w = matrix[2, 0] * right + matrix[2, 1] * down + matrix[2, 2]
            _sample(image, u / w, v / w, fill, half, out, y, x)


@kernel
def _displace(start, stop, image, shifts, fill, half, out):
    for y in range(start, stop):
        for x in range(image.shape[2]):
            _sample(image, x + 0.5 + shifts[0, y, x], y + 0.5 + shifts[1, y, x], fill, half, out, y, x)


@kernel(inline=True)
def _sample(image, u, v, fill, half, out, y, x):
    c, h, w = image.shape
    if not (-0.5 < u < w + 0.5 and -0.5 < v < h + 0.5):  # NaN is outside, too
        for ic in range(c):
            out[ic, y, x] = fill + half
        return
    left, top = int(np.floor(u - 0.5)), int(np.floor(v - 0.5))
    across, down = u - 0.5 - left, v - 0.5 - top
    for ic in range(c):
        total = 0.0
        for j in range(2):
            for i in range(2):
                py, px = top + j, left + i
                share = (down if j else 1 - down) * (across if i else 1 - across)
                total += share * (image[ic, py, px] if 0 <= py < h and 0 <= px < w else fill)
        out[ic, y, x] = total + half


def _run(run, image, how, fill):
    image, out = np.ascontiguousarray(image), np.empty(image.shape, image.dtype)
    half = 0.5 if image.dtype == np.uint8 else 0.0
    launch(run, image.shape[1], image, how, float(fill), half, out, work=20 * image.shape[0] * image.shape[2])
    return out


def warp(image, *, matrix, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from ``matrix`` (3, 3) times (x, y, 1): a homography."""
    return _run(_warp, image, np.ascontiguousarray(matrix, np.float64), fill)


def displace(image, *, shifts, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from there plus ``shifts[:, y, x]``, (right, down)."""
    return _run(_displace, image, np.ascontiguousarray(shifts, np.float64), fill)
