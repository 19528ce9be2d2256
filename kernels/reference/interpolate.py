"""Another resolution: each output copies the nearest pixel or blends the four around it.

nearest   out[b, c, oy, ox] = x[b, c, floor(oy * step), floor(ox * step)]
bilinear  out[b, c, oy, ox] = sum over the two rows y and the two columns x around it of weight * x[b, c, y, x]

``step`` is how far the input advances, in pixels, from one output to the next: a fraction for each axis, kept as
(numerator, denominator). ``geometry.nearest_source`` and ``linear_source`` do the arithmetic of one axis.
"""

import numpy as np

from minicnn.kernels.geometry import linear_source, nearest_source


def _taps(index, size, step, mode, align_corners):
    """Pixels that an output looks at along one axis, each with its weight; a weight of 0 is left out."""
    if mode == "nearest":
        return [(nearest_source(index, size, step), 1)]
    first, second, weight = linear_source(index, size, step, align_corners)
    return [(first, 1 - weight), (second, weight)] if weight else [(first, 1)]


def interpolate_forward(x, *, out_hw, steps, mode, align_corners):
    """Return x (N, C, H, W) as (N, C, *out_hw)."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, *out_hw), x.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(out_hw[0]):
                for ox in range(out_hw[1]):
                    for y, wy in _taps(oy, h, steps[0], mode, align_corners):
                        for xx, wx in _taps(ox, w, steps[1], mode, align_corners):
                            out[b, ch, oy, ox] += wy * wx * x[b, ch, y, xx]
    return out


def interpolate_grad_input(grad_out, *, input_shape, steps, mode, align_corners):
    """Add each output's gradient to the pixels it came from, by the same weights."""
    n, c, h, w = input_shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(grad_out.shape[2]):
                for ox in range(grad_out.shape[3]):
                    for y, wy in _taps(oy, h, steps[0], mode, align_corners):
                        for xx, wx in _taps(ox, w, steps[1], mode, align_corners):
                            grad_input[b, ch, y, xx] += wy * wx * grad_out[b, ch, oy, ox]
    return grad_input
