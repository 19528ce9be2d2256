"""How far predicted log-probabilities are from a target distribution.

loss[b, i] = - sum over c of share[b, c, i] * log_softmax(x)[b, c, i]

share[b, c, i] says how much class c counts at place i of image b: ``peak[c]`` if c is the right class, ``labels[b,
i]``, and besides what is ``spread`` over all classes, an array (N, C, places) or (1, C, 1), empty where there is
nothing to spread. Class weights and label smoothing are in both already. Probabilities are all spread and no peak. A
place whose label is -1 is ignored.
"""

import numpy as np

from minicnn.kernels.reference.softmax import log_softmax_forward


def _shares(labels, peak, spread, x_shape):
    """How much each class counts at each place: (N, C, places)."""
    shares = np.zeros(x_shape, peak.dtype)
    if spread.size:
        shares += spread
    for b, i in np.ndindex(labels.shape):
        shares[b, labels[b, i], i] += peak[labels[b, i]]
        if labels[b, i] < 0:
            shares[b, :, i] = 0
    return shares


def cross_entropy_forward(x, labels, peak, spread):
    """Return the losses (N, places), and what the gradient needs beside x."""
    n, classes, places = x.shape
    log_p = log_softmax_forward(x, dim=1)
    shares = _shares(labels, peak, spread, x.shape)
    losses = np.zeros((n, places), x.dtype)
    for b in range(n):
        for i in range(places):
            for c in range(classes):
                if shares[b, c, i] != 0:  # 0 * log 0 is 0 here, and an ignored NaN is ignored
                    losses[b, i] -= shares[b, c, i] * log_p[b, c, i]
    return losses, (log_p, shares)


def cross_entropy_grad_input(grad_losses, x, kept):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the shares) - share_c)."""
    n, classes, places = x.shape
    log_p, shares = kept
    grad_input = np.zeros_like(x)
    for b in range(n):
        for i in range(places):
            total = sum(shares[b, :, i])
            if shares[b, :, i].any():  # else ignored
                for c in range(classes):
                    grad_input[b, c, i] = grad_losses[b, i] * (np.exp(log_p[b, c, i]) * total - shares[b, c, i])
    return grad_input
