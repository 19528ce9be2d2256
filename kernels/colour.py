"""Brightness, contrast, saturation and hue of an image, fast. Read reference/colour.py first.

- All steps are done to a block of pixels while the first-level cache holds it. Only contrast, which wants the mean of
  the whole image, begins a new pass.
- Hue without branches: which of three formulas holds is a choice between numbers, so vectors can do it.
- One launch per image: images are shared out among threads, not their pixels.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.reference.colour import GREY

CODES = {"brightness": 0, "contrast": 1, "saturation": 2, "hue": 3}
CONTRAST, SATURATION, HUE = 1, 2, 3
BLOCK = 1024  # pixels
_RED, _GREEN, _BLUE = (np.float32(share) for share in GREY)
_0, _1, _2, _4, _6, _TINY = (np.float32(n) for n in (0, 1, 2, 4, 6, 1e-30))


@kernel
def _adjust(start, stop, image, top, codes, amounts, pixels, out):
    n = pixels.shape[1]
    for c in range(3):
        _copy(image[c], _0, pixels[c])
    done = 0
    while done < codes.size:
        mean = _mean_grey(pixels) if codes[done] == CONTRAST else _0
        after = done + 1
        while after < codes.size and codes[after] != CONTRAST:
            after += 1
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            red, green, blue = pixels[0, first:last], pixels[1, first:last], pixels[2, first:last]
            for step in range(done, after):
                amount = amounts[step]
                if codes[step] == HUE:
                    _turn(red, green, blue, amount)
                elif codes[step] == SATURATION:
                    _saturate(red, green, blue, amount, top)
                else:
                    shift = (_1 - amount) * mean if codes[step] == CONTRAST else _0
                    _blend(red, amount, shift, top)
                    _blend(green, amount, shift, top)
                    _blend(blue, amount, shift, top)
        done = after
    for c in range(3):
        _copy(pixels[c], np.float32(0.5) if top > _1 else _0, out[c])


@kernel
def _copy(source, half, out):
    for i in range(out.size):
        out[i] = source[i] + half


@kernel
def _mean_grey(pixels):
    total = 0.0
    red, green, blue = pixels[0], pixels[1], pixels[2]
    for first in range(0, red.size, BLOCK):
        part = _sum_grey(red[first : first + BLOCK], green[first : first + BLOCK], blue[first : first + BLOCK])
        total += part
    return np.float32(total / red.size)


@kernel(any_order=True)
def _sum_grey(red, green, blue):
    total = _0
    for i in range(red.size):
        total += _RED * red[i] + _GREEN * green[i] + _BLUE * blue[i]
    return total


@kernel
def _blend(values, amount, shift, top):
    for i in range(values.size):
        values[i] = min(max(amount * values[i] + shift, _0), top)


@kernel
def _saturate(red, green, blue, amount, top):
    for i in range(red.size):
        shift = (_1 - amount) * (_RED * red[i] + _GREEN * green[i] + _BLUE * blue[i])
        red[i] = min(max(amount * red[i] + shift, _0), top)
        green[i] = min(max(amount * green[i] + shift, _0), top)
        blue[i] = min(max(amount * blue[i] + shift, _0), top)


@kernel
def _turn(red, green, blue, amount):
    for i in range(red.size):
        r, g, b = red[i], green[i], blue[i]
        high, low = max(r, max(g, b)), min(r, min(g, b))
        span = high - low
        by = _1 / span if span > _TINY else _0  # of less the inverse is infinite
        hue = (r - g) * by + _4
        hue = (b - r) * by + _2 if high == g else hue
        hue = (g - b) * by if high == r else hue
        hue += _6 * amount
        red[i] = high - span * _share(hue + np.float32(5))
        green[i] = high - span * _share(hue + np.float32(3))
        blue[i] = high - span * _share(hue + np.float32(1))


@kernel(inline=True)
def _share(k):
    k -= _6 * np.floor(k * np.float32(1 / 6))
    return min(max(min(k, _4 - k), _0), _1)


def adjust(image, *, steps):
    """Return an RGB image (3, H, W), uint8 or float32, after ``steps``: (what, amount), one after the other."""
    n = image.shape[1] * image.shape[2]
    out = np.empty(image.shape, image.dtype)
    codes = np.array([CODES[what] for what, _ in steps], np.int64)
    amounts = np.array([amount for _, amount in steps], np.float32)
    top = np.float32(255 if image.dtype == np.uint8 else 1)
    source = np.ascontiguousarray(image).reshape(3, n)
    launch(_adjust, 1, source, top, codes, amounts, np.empty((3, n), np.float32), out.reshape(3, n), work=1)
    return out
