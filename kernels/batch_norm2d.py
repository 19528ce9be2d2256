"""Batch normalisation, fast. Read reference/batch_norm2d.py first.

- Sums run in double precision, so that a float32 image of large values keeps its variance; as vector
  instructions (``any_order``) they cost what the memory costs.
- The normalising itself runs in the dtype of the array. ``x - mean`` with the mean rounded to float32 would be
  wrong by up to 0.0005 at x = 10000, so the mean comes in two parts: (x - high) is exact near the mean, then
  comes low.
- A job is a channel where something is summed, else an image plane.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel(any_order=True)
def _statistics(start, stop, x, mean, var):
    n, _, pixels = x.shape
    for c in range(start, stop):
        total = 0.0
        for b in range(n):
            for i in range(pixels):
                total += x[b, c, i]
        centre = total / (n * pixels)
        squares = 0.0
        for b in range(n):
            for i in range(pixels):
                squares += (x[b, c, i] - centre) ** 2
        mean[c], var[c] = centre, squares / (n * pixels)


@kernel
def _forward(start, stop, x, high, low, scale, bias, out):
    _, channels, pixels = x.shape
    for plane in range(start, stop):
        b, c = plane // channels, plane % channels
        for i in range(pixels):
            out[b, c, i] = ((x[b, c, i] - high[c]) - low[c]) * scale[c] + bias[c]


@kernel(any_order=True)
def _grad_weight_bias(start, stop, grad_out, x, mean, inv_std, grad_weight, grad_bias):
    n, _, pixels = x.shape
    for c in range(start, stop):
        centre, along, total = mean[c], 0.0, 0.0
        for b in range(n):
            for i in range(pixels):
                along += grad_out[b, c, i] * (x[b, c, i] - centre)
                total += grad_out[b, c, i]
        grad_weight[c], grad_bias[c] = along * inv_std[c], total


@kernel
def _grad_input(start, stop, grad_out, x, high, low, mean_grad, slope, scale, grad_input):
    _, channels, pixels = x.shape
    for plane in range(start, stop):
        b, c = plane // channels, plane % channels
        for i in range(pixels):
            centred = (x[b, c, i] - high[c]) - low[c]
            grad_input[b, c, i] = (grad_out[b, c, i] - mean_grad[c] - centred * slope[c]) * scale[c]


# Factors of a channel that holds an infinity become NaN, as they should, and without a warning, like the loops.
_quietly = np.errstate(all="ignore")


def _flat(x):
    """(N, C, H, W) -> (N, C, H * W)."""
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


def _two_parts(mean, dtype):
    """Return ``mean`` as the nearest number of ``dtype`` and what is left."""
    high = mean.astype(dtype)
    return high, (mean - high).astype(dtype)


def batch_norm2d_statistics(x):
    """Return the mean and the (biased) variance of each channel, in double precision."""
    n, channels, h, w = x.shape
    mean, var = np.empty(channels), np.empty(channels)
    launch(_statistics, channels, _flat(x), mean, var, work=n * h * w)
    return mean, var


@_quietly
def batch_norm2d_forward(x, mean, inv_std, weight, bias):
    """Normalise, scale, shift."""
    n, channels, h, w = x.shape
    out = np.empty_like(x)
    scale = (weight * inv_std).astype(x.dtype)
    launch(_forward, n * channels, _flat(x), *_two_parts(mean, x.dtype), scale, bias, _flat(out), work=h * w)
    return out


def batch_norm2d_grad_weight_bias(grad_out, x, mean, inv_std):
    """Return the gradients of weight, sum of grad_out * normal, and of bias, sum of grad_out."""
    n, channels, h, w = x.shape
    grad_weight, grad_bias = np.empty(channels), np.empty(channels)
    launch(
        _grad_weight_bias, channels, _flat(grad_out), _flat(x), mean, inv_std, grad_weight, grad_bias, work=n * h * w
    )
    return grad_weight, grad_bias


@_quietly
def batch_norm2d_grad_input(grad_out, x, mean, inv_std, weight, grad_weight, grad_bias):
    """Training: a pixel also moves the mean and the variance, and through them every output of its channel.

    That takes from grad_out its mean (grad_bias / count) and its part along ``normal`` (grad_weight / count).
    """
    n, channels, h, w = x.shape
    grad_input = np.empty_like(x)
    count = max(n * h * w, 1)
    factors = (grad_bias / count, inv_std * grad_weight / count, weight * inv_std)
    launch(
        _grad_input, n * channels, _flat(grad_out), _flat(x), *_two_parts(mean, x.dtype),
        *(factor.astype(x.dtype) for factor in factors), _flat(grad_input), work=h * w,
    )  # fmt: skip
    return grad_input
