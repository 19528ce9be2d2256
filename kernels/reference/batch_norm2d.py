"""Batch normalisation: give every channel mean 0 and variance 1, then a scale and a shift of its own.

out[b, c, y, x] = (x[b, c, y, x] - mean[c]) * inv_std[c] * weight[c] + bias[c],  inv_std = 1 / sqrt(var + eps)

In training mean and variance are those of the batch itself, over all images and pixels; in inference they are
running averages from training. Ioffe and Szegedy 2015, algorithms 1 and 2.
"""

import numpy as np


def batch_norm2d_statistics(x):
    """Return the mean and the (biased) variance of each channel, in double precision."""
    n, channels, h, w = x.shape
    mean = np.zeros(channels, np.result_type(x, np.float64))
    var = np.zeros_like(mean)
    for c in range(channels):
        for b in range(n):
            for y in range(h):
                for xx in range(w):
                    mean[c] += x[b, c, y, xx]
        mean[c] /= n * h * w
        for b in range(n):  # a second time: the mean of x² minus mean² would lose the variance of x = 10000 ± 1
            for y in range(h):
                for xx in range(w):
                    var[c] += (x[b, c, y, xx] - mean[c]) ** 2
        var[c] /= n * h * w
    return mean, var


def batch_norm2d_forward(x, mean, inv_std, weight, bias):
    """Normalise, scale, shift."""
    n, channels, h, w = x.shape
    out = np.empty_like(x)
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    normal = (x[b, c, y, xx] - mean[c]) * inv_std[c]
                    out[b, c, y, xx] = normal * weight[c] + bias[c]
    return out


def batch_norm2d_grad_weight_bias(grad_out, x, mean, inv_std):
    """Return the gradients of weight, sum of grad_out * normal, and of bias, sum of grad_out."""
    n, channels, h, w = x.shape
    grad_weight, grad_bias = np.zeros_like(mean), np.zeros_like(mean)
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    normal = (x[b, c, y, xx] - mean[c]) * inv_std[c]
                    grad_weight[c] += grad_out[b, c, y, xx] * normal
                    grad_bias[c] += grad_out[b, c, y, xx]
    return grad_weight, grad_bias


def batch_norm2d_grad_input(grad_out, x, mean, inv_std, weight, grad_weight, grad_bias):
    """Training: a pixel also moves the mean and the variance, and through them every output of its channel.

    That takes from grad_out its mean (grad_bias / count) and its part along ``normal`` (grad_weight / count).
    """
    n, channels, h, w = x.shape
    count = n * h * w
    grad_input = np.empty_like(x)
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    normal = (x[b, c, y, xx] - mean[c]) * inv_std[c]
                    rest = grad_out[b, c, y, xx] - grad_bias[c] / count - normal * grad_weight[c] / count
                    grad_input[b, c, y, xx] = rest * inv_std[c] * weight[c]
    return grad_input
