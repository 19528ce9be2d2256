"""Maximum over a sliding window, fast. Read reference/max_pool2d.py, then phases.py first.
"""

import numpy as np

from minicnn.kernels.geometry import span
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.phases import collect, deal
from minicnn.kernels.simd import broadcast, lanes, load, load_as, load_part, peek, poke, select, splat, store, store_as, store_part

BLOCK = 512  # outputs at a time: with the pixels they look at, they stay in the first-level cache


@kernel
def _forward(start, stop, x, size, kernel, stride, corner, dilation, out_hw, out, index):
    n, keep = lanes(x), index.size > 0
    (h, w), (kh, kw), (h_out, w_out) = size, kernel, out_hw
    border = x.dtype.type(-np.inf)
    end = stop * h_out * w_out
    # Pixel (y, x) of the padded image is at (y // stride, x // stride) of one of the phases.
    pitch = max((w + corner[1] - 1) // stride[1] + 1, w_out + (kw - 1) * dilation[1] // stride[1])
    reach = (kh - 1) * dilation[0] // stride[0]
    most = min(h_out, max(1, BLOCK // pitch))
    apart = (most + reach) * pitch + 4 * n
    pixels = np.full(stride[0] * stride[1] * apart, border, x.dtype)
    best, tap = np.empty(most * pitch + 4 * n, x.dtype), np.empty(most * pitch + 4 * n, x.dtype)
    offsets, numbers = np.empty(kh * kw, np.int64), np.empty(kh * kw, x.dtype)
    for ky in range(kh):
        for kx in range(kw):
            y, xx = ky * dilation[0], kx * dilation[1]
            numbers[ky * kw + kx] = ky * kw + kx
            offsets[ky * kw + kx] = (
                (y % stride[0] * stride[1] + xx % stride[1]) * apart + y // stride[0] * pitch + xx // stride[1]
            )
    first_kx = np.zeros(w_out + n, x.dtype)
    for ox in range(w_out):
        while first_kx[ox] * dilation[1] + ox * stride[1] < corner[1]:
            first_kx[ox] += 1
    for plane in range(start, stop):
        for oy0 in range(0, h_out, most):
            rows = min(most, h_out - oy0)
            deal(
                x, plane * h * w, size, oy0, rows + reach, stride, corner, border, pixels, pitch, apart
            )
            if keep:
                for row in range(rows):
                    ky = 0
                    while ky * dilation[0] + (oy0 + row) * stride[0] < corner[0]:
                        ky += 1
                    for ox in range(0, w_out, n):
                        store(tap, row * pitch + ox, load(first_kx, ox) + splat(x, x.dtype.type(ky * kw)))
            for q in range(0, rows * pitch, 2 * n):
                a, b, tap_a, tap_b = load(pixels, q), load(pixels, q + n), load(tap, q), load(tap, q + n)
                for e in range(1, kh * kw):
                    at, number = peek(offsets, e) + q, broadcast(numbers, e)
                    value = load(pixels, at)
                    wins = ~(value <= a) & (a == a)
                    a, tap_a = select(wins, value, a), select(wins, number, tap_a)
                    value = load(pixels, at + n)
                    wins = ~(value <= b) & (b == b)
                    b, tap_b = select(wins, value, b), select(wins, number, tap_b)
                store(best, q, a)
                store(best, q + n, b)
                store(tap, q, tap_a)
                store(tap, q + n, tap_b)
            collect(best, pitch, 0, oy0, rows, (1, 1), (0, 0), out, plane * h_out * w_out, out_hw, end)
            if keep:
                for row in range(rows):
                    to = (plane * h_out + oy0 + row) * w_out
                    for ox in range(0, w_out, n):
                        if to + ox + n <= end:
                            store_as(index, to + ox, load(tap, row * pitch + ox))
                        else:
                            for i in range(ox, w_out):
                                index[to + i] = int(tap[row * pitch + i])


@kernel
def _grad_input(start, stop, grad_out, index, size, kernel, stride, corner, dilation, out_hw, grad_input):
    n = lanes(grad_input)
    zero, end = grad_input.dtype.type(0), stop * size[0] * size[1]
    nothing = splat(grad_input, zero)
    (h, w), (kh, kw), (h_out, w_out) = size, kernel, out_hw
    margin, reach = (kw - 1) * dilation[1] // stride[1], (kh - 1) * dilation[0] // stride[0]
    height, width = (h + corner[0] - 1) // stride[0] + 1, (w + corner[1] - 1) // stride[1] + 1
    pitch = margin + max(width, w_out)
    most = min(height, max(1, BLOCK // pitch))
    apart = most * pitch + 4 * n
    grads = np.zeros((reach + most) * pitch + margin + 4 * n, grad_input.dtype)
    taps = np.zeros((reach + most) * pitch + margin + 4 * n, grad_input.dtype)
    sums = np.zeros(stride[0] * stride[1] * apart, grad_input.dtype)
    offsets, numbers = np.empty(kh * kw, np.int64), np.empty(kh * kw, grad_input.dtype)
    first = np.zeros(stride[0] * stride[1] + 1, np.int64)
    count = 0
    for phase in range(stride[0] * stride[1]):
        for ky in range(kh):
            for kx in range(kw):
                y, xx = ky * dilation[0], kx * dilation[1]
                if y % stride[0] * stride[1] + xx % stride[1] == phase:
                    offsets[count] = margin + (reach - y // stride[0]) * pitch - xx // stride[1]
                    numbers[count] = ky * kw + kx
                    count += 1
        first[phase + 1] = count
    for plane in range(start, stop):
        for row0 in range(0, height, most):
            rows = min(most, height - row0)
            deal(
                grad_out, plane * h_out * w_out, out_hw, row0, rows + reach, (1, 1), (reach, margin), zero, grads, pitch, 0
            )
            for row in range(max(0, reach - row0), min(rows + reach, h_out + reach - row0)):
                at, to = (plane * h_out + row0 + row - reach) * w_out, margin + row * pitch
                for ox in range(0, w_out, n):
                    if at + ox + n <= index.size:
                        store(taps, to + ox, load_as(nothing, index, at + ox))
                    else:
                        for i in range(ox, w_out):
                            taps[to + i] = index[at + i]
            for phase in range(stride[0] * stride[1]):
                e0, e1, to = peek(first, phase), peek(first, phase + 1), phase * apart
                for q in range(0, rows * pitch, 2 * n):
                    a, b = nothing, nothing
                    for e in range(e0, e1):
                        at, number = peek(offsets, e) + q, broadcast(numbers, e)
                        a = a + select(load(taps, at) == number, load(grads, at), nothing)
                        b = b + select(load(taps, at + n) == number, load(grads, at + n), nothing)
                    store(sums, to + q, a)
                    store(sums, to + q + n, b)
            collect(sums, pitch, apart, row0, rows, stride, corner, grad_input, plane * h * w, size, end)


def max_pool2d_forward(x, *, kernel, stride, padding, dilation, out_hw, keep=True):
    """Return the maxima and, for each, where it was found."""
    n, c, h, w = x.shape
    out = np.empty((n, c, *out_hw), x.dtype)
    index = np.empty((n, c, *out_hw) if keep else 0, np.uint8 if (kernel[0] + 1) * kernel[1] <= 256 else np.int32)
    corner = (padding[0][0], padding[1][0])
    launch(
        _forward, n * c, x.reshape(-1), (h, w), kernel, stride, corner, dilation, out_hw, out.reshape(-1),
        index.reshape(-1), work=out_hw[0] * out_hw[1] * kernel[0] * kernel[1] / 2,
    )  # fmt: skip
    return out, index


def max_pool2d_grad_input(grad_out, index, *, input_shape, kernel, stride, padding, dilation):
    n, c, h, w = input_shape
    grad_input = np.empty(input_shape, grad_out.dtype)
    launch(
        _grad_input, n * c, grad_out.reshape(-1), index.reshape(-1), (h, w), kernel, stride, (padding[0][0], padding[1][0]), dilation, grad_out.shape[2:], grad_input.reshape(-1), work=h * w
    )
    return grad_input
