"""Another size, with as many pixels in each mean as fall together: the definition, as loops.

Pillow's resampling ("antialias"; A. S. Glassner, "Principles of Digital Image Synthesis", 1995, section 10.3): an
output pixel is a weighted mean of the input pixels around its centre. The weights are those of a filter, a triangle
(bilinear) or a cubic (bicubic, a = -1/2, Keys 1981), which is as wide as an output pixel where the image shrinks.
"""

import math

import numpy as np

RADIUS = {"bilinear": 1.0, "bicubic": 2.0}


def _weight(kind, x):
    """Return the height of a filter at a distance x from its middle."""
    x = abs(x)
    if kind == "bilinear":
        return max(1 - x, 0.0)
    a = -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _taps(kind, low, high, pixels, out):
    """Return, for each of ``out`` pixels between low and high of ``pixels``, its first input pixel and the weights."""
    scale = (high - low) / out
    stretch = max(scale, 1.0)
    found = []
    for i in range(out):
        centre = low + (i + 0.5) * scale
        first = max(math.floor(centre - RADIUS[kind] * stretch + 0.5), 0)
        last = min(math.floor(centre + RADIUS[kind] * stretch + 0.5), pixels)
        weights = [_weight(kind, (j - centre + 0.5) / stretch) for j in range(first, last)]
        found.append((first, [w / sum(weights) for w in weights]))
    return found


def resize(image, *, box, size, kind, mirror):
    """Return the part ``box`` (left, top, right, bottom) of an image (C, H, W) as (C, *size), mirrored or not.

    Of uint8 or float32; values stay in 0 .. 255 or 0 .. 1. Rows are made narrower first, and bytes are rounded between
    the two steps, as in Pillow: where a cubic shoots over the range, that shows.
    """
    c, h, w = image.shape
    left, top, right, bottom = box
    rows, columns = _taps(kind, top, bottom, h, size[0]), _taps(kind, left, right, w, size[1])
    narrow, out = np.empty((c, h, size[1])), np.empty((c, *size), image.dtype)
    for ic in range(c):
        for y in range(h):
            for ox, (x, shares) in enumerate(columns):
                total = sum(shares[k] * float(image[ic, y, x + k]) for k in range(len(shares)))
                narrow[ic, y, size[1] - 1 - ox if mirror else ox] = (
                    _rounded(total) if image.dtype == np.uint8 else total
                )
        for oy, (y, shares) in enumerate(rows):
            for ox in range(size[1]):
                total = sum(shares[k] * narrow[ic, y + k, ox] for k in range(len(shares)))
                out[ic, oy, ox] = _rounded(total) if image.dtype == np.uint8 else min(max(total, 0.0), 1.0)
    return out


def _rounded(value):
    """Bring a value into 0 .. 255."""
    return min(max(math.floor(value + 0.5), 0), 255)
