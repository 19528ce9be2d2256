"""How far predicted log-probabilities are from a target distribution.

loss[b, i] = - sum over c of target[b, c, i] * log_softmax(x)[b, c, i]

The target holds, for each place i of image b, how much each class c counts: 1 at the right class, say. Class
weights and label smoothing are in it already, and an ignored place has a target of zeros.
"""

import numpy as np

from minicnn.kernels.reference.softmax import log_softmax_forward


def cross_entropy_forward(x, target):
    """Return the losses (N, places) and the log-probabilities (N, C, places)."""
    n, classes, places = x.shape
    log_p = log_softmax_forward(x, dim=1)
    losses = np.zeros((n, places), x.dtype)
    for b in range(n):
        for i in range(places):
            for c in range(classes):
                if target[b, c, i] != 0:  # 0 * log 0 is 0 here, and an ignored NaN is ignored
                    losses[b, i] -= target[b, c, i] * log_p[b, c, i]
    return losses, log_p


def cross_entropy_grad_input(grad_losses, log_p, target):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the target) - target_c)."""
    n, classes, places = log_p.shape
    grad_input = np.zeros_like(log_p)
    for b in range(n):
        for i in range(places):
            total = sum(target[b, :, i])
            if target[b, :, i].any():  # else ignored
                for c in range(classes):
                    share = np.exp(log_p[b, c, i]) * total - target[b, c, i]
                    grad_input[b, c, i] = grad_losses[b, i] * share
    return grad_input
