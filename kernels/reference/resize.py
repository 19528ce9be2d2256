"""A part of an image at another size, with as many pixels in each mean as fall together: the definition, as loops.

Pillow's resampling ("antialias"; A. S. Glassner, "Principles of Digital Image Synthesis", 1995, section 10.3).
Along one axis output ``i`` of ``out`` looks at the place ``centre = begin + (i + 1/2) * scale`` of the image, where
pixel j covers j .. j + 1. ``nearest`` takes the pixel there. Else a filter, stretched by ``scale`` where the image
shrinks, weighs the pixels around it: the triangle ``1 - |x|`` (bilinear) or a cubic with a = -1/2 (bicubic, Keys 1981).
The weights of the pixels that exist are made to sum to 1. First along the rows, then along the columns; where a cubic
shoots over the range of bytes it is cut off after each, as in Pillow. (Pillow rounds after each, too. Since version 13
it goes along the columns first where the height shrinks much more than the width.)
"""

import math

import numpy as np


def _triangle(x):
    return max(0.0, 1.0 - abs(x))


def _cubic(x, a=-0.5):
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


_FILTERS = {"bilinear": (_triangle, 1.0), "bicubic": (_cubic, 2.0)}  # with how far they reach


def _taps(size, begin, end, out, kind, mirror):
    """Return for each output the pixels that it looks at, each with its weight."""
    scale = (end - begin) / out
    stretch = max(scale, 1.0)
    table = []
    place = begin + scale * 0.5  # in steps that are added up: between two pixels it matters how they are rounded
    for i in range(out):
        centre = begin + (i + 0.5) * scale
        if kind == "nearest":
            table.append([(min(max(math.floor(place), 0), size - 1), 1.0)])
            place += scale
            continue
        weigh, reach = _FILTERS[kind]
        first = max(math.floor(centre - reach * stretch + 0.5), 0)
        last = min(math.floor(centre + reach * stretch + 0.5), size)
        weights = [weigh((j - centre + 0.5) / stretch) for j in range(first, last)]
        table.append([(j, weight / sum(weights)) for j, weight in zip(range(first, last), weights, strict=True)])
    return table[::-1] if mirror else table


def resize(image, *, box, size, kind, mirror):
    """Return the part ``box`` (left, top, right, bottom) of image (C, H, W) as (C, *size), mirrored or not."""
    c, h, w = image.shape
    left, top, right, bottom = box
    columns = _taps(w, left, right, size[1], kind, mirror)
    rows = _taps(h, top, bottom, size[0], kind, False)
    across = np.zeros((c, h, size[1]))
    out = np.zeros((c, *size))
    for ch in range(c):
        for y in range(h):
            for ox, taps in enumerate(columns):
                for x, weight in taps:
                    across[ch, y, ox] += weight * image[ch, y, x]
        if image.dtype == np.uint8:
            across[ch] = np.clip(across[ch], 0, 255)
        for oy, taps in enumerate(rows):
            for ox in range(size[1]):
                for y, weight in taps:
                    out[ch, oy, ox] += weight * across[ch, y, ox]
    out = np.clip(np.floor(out + 0.5), 0, 255) if image.dtype == np.uint8 else np.clip(out, 0, 1)
    return out.astype(image.dtype)
