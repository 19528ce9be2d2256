"""Brightness, contrast, saturation and hue of an image: the definitions, as loops over pixels.

Each is a blend of the image with another one: with black, with its mean grey, with its own grey; hue turns the colour
circle of HSV (A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978). As in torchvision, only that bytes are
rounded once, at the end.
"""

import math

import numpy as np

GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601


def adjust(image, *, steps):
    """Return an RGB image (3, H, W), uint8 or float32 in 0 .. 1, after ``steps``: (what, amount), one after the other.

    An amount of 1 changes nothing, of hue 0; there 1 is a whole turn.
    """
    scale = 255 if image.dtype == np.uint8 else 1
    pixels = [[float(v) / scale for v in pixel] for pixel in image.reshape(3, -1).T]
    for what, amount in steps:
        mean = sum(_grey(pixel) for pixel in pixels) / len(pixels) if what == "contrast" else 0.0
        for i, pixel in enumerate(pixels):
            if what == "hue":
                pixels[i] = _turned(pixel, amount)
            else:
                other = {"brightness": 0.0, "contrast": mean, "saturation": _grey(pixel)}[what]
                pixels[i] = [min(max(amount * v + (1 - amount) * other, 0.0), 1.0) for v in pixel]
    out = np.array(pixels).T.reshape(image.shape)
    return np.floor(out * 255 + 0.5).astype(np.uint8) if scale == 255 else out.astype(image.dtype)


def _grey(pixel):
    """Return how bright a colour looks."""
    return sum(share * value for share, value in zip(GREY, pixel, strict=True))


def _turned(pixel, amount):
    """Turn a colour on the circle of hues by a share of a whole turn."""
    high, low = max(pixel), min(pixel)
    if high == low:
        return pixel
    red, green, blue = pixel
    if high == red:
        hue = (green - blue) / (high - low)
    elif high == green:
        hue = 2 + (blue - red) / (high - low)
    else:
        hue = 4 + (red - green) / (high - low)
    hue = math.fmod(hue + 6 * amount + 12, 6)  # red at 0, green at 2, blue at 4
    away = (math.fmod(hue + 5, 6), math.fmod(hue + 3, 6), math.fmod(hue + 1, 6))
    return [high - (high - low) * min(max(min(k, 4 - k), 0.0), 1.0) for k in away]
