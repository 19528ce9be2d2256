"""An image bent, fast. Read reference/warp.py first.

- A row of the result is a job; where each of its pixels comes from is computed once for all colours.
- Within the image the four pixels are read without asking whether they exist (4 times as fast, EPYC); far outside all
  are ``fill``: no arithmetic at all. Only along the edge is each of them asked for.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import peek, poke


@kernel
def _warp(start, stop, image, size, matrix, fill, half, out):
    for y in range(start, stop):
        down = y + 0.5
        for x in range(size[2]):
            right = x + 0.5
            u = matrix[0, 0] * right + matrix[0, 1] * down + matrix[0, 2]
            v = matrix[1, 0] * right + matrix[1, 1] * down + matrix[1, 2]
            w = matrix[2, 0] * right + matrix[2, 1] * down + matrix[2, 2]
            _sample(image, size, u / w, v / w, fill, half, out, y * size[2] + x)


@kernel
def _displace(start, stop, image, size, shifts, fill, half, out):
    for y in range(start, stop):
        for x in range(size[2]):
            u, v = x + 0.5 + shifts[0, y, x], y + 0.5 + shifts[1, y, x]
            _sample(image, size, u, v, fill, half, out, y * size[2] + x)


@kernel(inline=True)
def _sample(image, size, u, v, fill, half, out, to):
    c, h, w = size
    plane = h * w
    if not (-0.5 < u < w + 0.5 and -0.5 < v < h + 0.5):  # NaN is outside, too
        for ic in range(c):
            poke(out, ic * plane + to, fill + half)
        return
    left, top = int(u + 0.5) - 1, int(v + 0.5) - 1  # what is positive is cut off quicker than rounded down
    across, down = np.float32(u - 0.5 - left), np.float32(v - 0.5 - top)
    rest_across, rest_down = np.float32(1) - across, np.float32(1) - down
    at = top * w + left
    if 0 <= left < w - 1 and 0 <= top < h - 1:
        for ic in range(c):
            upper = rest_across * peek(image, at) + across * peek(image, at + 1)
            lower = rest_across * peek(image, at + w) + across * peek(image, at + w + 1)
            poke(out, ic * plane + to, rest_down * upper + down * lower + half)
            at += plane
        return
    for ic in range(c):
        total = half
        for j in range(2):
            for i in range(2):
                share = (down if j else rest_down) * (across if i else rest_across)
                exists = 0 <= top + j < h and 0 <= left + i < w
                total += share * (peek(image, at + j * w + i) if exists else fill)
        poke(out, ic * plane + to, total)
        at += plane


def _run(run, image, how, fill):
    out = np.empty(image.shape, image.dtype)
    half = np.float32(0.5 if image.dtype == np.uint8 else 0)
    flat = np.ascontiguousarray(image).reshape(-1)
    work = 10 * image.shape[0] * image.shape[2]
    launch(run, image.shape[1], flat, image.shape, how, np.float32(fill), half, out.reshape(-1), work=work)
    return out


def warp(image, *, matrix, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from ``matrix`` (3, 3) times (x, y, 1): a homography."""
    return _run(_warp, image, np.ascontiguousarray(matrix, np.float64), fill)


def displace(image, *, shifts, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from there plus ``shifts[:, y, x]``, (right, down)."""
    return _run(_displace, image, np.ascontiguousarray(shifts, np.float64), fill)
