"""Batch normalisation: give every channel mean 0 and variance 1, then a scale and a shift of its own.

out[b, c, y, x] = (x[b, c, y, x] - mean[c]) * inv_std[c] * weight[c] + bias[c],  inv_std = 1 / sqrt(var + eps)

In training mean and variance are those of the batch itself, over all images and pixels; in inference they are
running averages from training. Ioffe and Szegedy 2015, algorithms 1 and 2.

What follows in most networks can be done on the way: out = activation(the above + residual), the activation being
ReLU (cut off below 0) or ReLU6 (and above 6).
"""

import numpy as np


@np.errstate(all="ignore")
def batch_norm2d_statistics(x, running=None, share=0.0, correction=1.0):
    """Return the mean and the (biased) variance of each channel, in double precision, and the new running ones.

    The running ones, a pair, move by ``share`` towards the mean and the variance times ``correction``.
    """
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
    if running is None:
        return mean, var, None
    new_mean = (1 - share) * running[0] + share * mean
    new_var = (1 - share) * running[1] + share * (var * correction)
    return mean, var, (new_mean, new_var)


@np.errstate(all="ignore")  # 1 / 0 is infinity
def batch_norm2d_inv_std(var, eps):
    """Return 1 / sqrt(var + eps) in double precision."""
    return 1 / np.sqrt(var.astype(np.result_type(var, np.float64)) + eps)


def _activate(y, activation):
    if activation is not None and y <= 0:
        return 0
    return 6 if activation == "relu6" and y >= 6 else y


def _let_through(g, y, activation):
    """Return g where the activation let y through, else 0."""
    cut_off = (activation is not None and y <= 0) or (activation == "relu6" and y >= 6)
    return 0 if cut_off else g


def batch_norm2d_forward(x, mean, inv_std, weight, bias, residual=None, *, activation=None):
    """Normalise, scale, shift, add the residual (same shape as x), cut off."""
    n, channels, h, w = x.shape
    out = np.empty_like(x)
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    normal = (x[b, c, y, xx] - mean[c]) * inv_std[c]
                    value = normal * weight[c] + bias[c]
                    if residual is not None:
                        value += residual[b, c, y, xx]
                    out[b, c, y, xx] = _activate(value, activation)
    return out


def batch_norm2d_grad(grad_out, x, mean, inv_std, weight, bias, out=None, *, activation=None, training=True, sums=True):
    """Return the gradients of x, weight, bias and residual; g is the part of grad_out that the activation lets through.

    The residual's is g itself, bias's its sum, weight's the sum of g * normal. In training a pixel also moves the mean
    and the variance, and through them every output of its channel: that takes from g its mean and its part along
    ``normal``, which follow from the two sums. In inference there is nothing to take away, and without ``sums`` None
    is returned for weight and bias. Where ``out``, the output, is not given, there is no residual: out follows from x.
    """
    n, channels, h, w = x.shape
    count = n * h * w
    g, normal, grad_input = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    grad_weight, grad_bias = np.zeros_like(mean), np.zeros_like(mean)
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    here = b, c, y, xx
                    normal[here] = (x[here] - mean[c]) * inv_std[c]
                    value = normal[here] * weight[c] + bias[c] if out is None else out[here]
                    g[here] = _let_through(grad_out[here], value, activation)
                    grad_weight[c] += g[here] * normal[here]
                    grad_bias[c] += g[here]
    for b in range(n):
        for c in range(channels):
            for y in range(h):
                for xx in range(w):
                    here = b, c, y, xx
                    rest = g[here]
                    if training:
                        rest -= grad_bias[c] / count + normal[here] * grad_weight[c] / count
                    grad_input[here] = rest * inv_std[c] * weight[c]
    return grad_input, grad_weight if sums else None, grad_bias if sums else None, None if out is None else g
