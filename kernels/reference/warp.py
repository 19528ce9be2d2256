"""An image bent: where each output pixel comes from, and the blend of the four pixels there, as loops.

Coordinates count from the image's corner, so that the middle of pixel 0 lies at 0.5. What comes from outside is
``fill``.
"""

import math

import numpy as np


def warp(image, *, matrix, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from ``matrix`` (3, 3) times (x, y, 1): a homography.

    Of uint8 or float32.
    """
    out = np.empty_like(image)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            u, v, w = (float(row[0] * (x + 0.5) + row[1] * (y + 0.5) + row[2]) for row in matrix)
            out[:, y, x] = _sample(image, u / w, v / w, fill) if w != 0 else fill
    return out


def displace(image, *, shifts, fill):
    """Return an image (C, H, W) of which pixel (x, y) comes from there plus ``shifts[:, y, x]``, (right, down)."""
    out = np.empty_like(image)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            out[:, y, x] = _sample(image, x + 0.5 + float(shifts[0, y, x]), y + 0.5 + float(shifts[1, y, x]), fill)
    return out


def _sample(image, u, v, fill):
    """Return the colour at a place: of the four pixels around it each counts the more the nearer it is."""
    if not (math.isfinite(u) and math.isfinite(v)):
        return fill
    left, top = math.floor(u - 0.5), math.floor(v - 0.5)
    right_share, low_share = u - 0.5 - left, v - 0.5 - top
    total = 0.0
    for y, share_y in ((top, 1 - low_share), (top + 1, low_share)):
        for x, share_x in ((left, 1 - right_share), (left + 1, right_share)):
            inside = 0 <= y < image.shape[1] and 0 <= x < image.shape[2]
            total = total + share_y * share_x * (image[:, y, x].astype(np.float64) if inside else fill)
    return np.floor(total + 0.5) if image.dtype == np.uint8 else total
