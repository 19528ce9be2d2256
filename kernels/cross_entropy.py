"""How far predicted log-probabilities are from a target distribution, fast. Read reference/cross_entropy.py first.

A job is one place of one image.
"""

import math

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.softmax import log_softmax_forward


@kernel
def _losses(start, stop, log_p, target, losses):
    _, classes, places = log_p.shape
    for job in range(start, stop):
        b, i = job // places, job % places
        loss = 0.0
        for c in range(classes):
            if target[b, c, i] != 0:  # 0 * log 0 is 0 here, and an ignored NaN is ignored
                loss -= target[b, c, i] * log_p[b, c, i]
        losses[b, i] = loss


@kernel
def _grad_input(start, stop, grad_losses, log_p, target, grad_input):
    _, classes, places = log_p.shape
    for job in range(start, stop):
        b, i = job // places, job % places
        total, ignored = 0.0, True
        for c in range(classes):
            total += target[b, c, i]
            ignored = ignored and target[b, c, i] == 0
        for c in range(classes):
            share = math.exp(log_p[b, c, i]) * total - target[b, c, i]
            grad_input[b, c, i] = 0.0 if ignored else grad_losses[b, i] * share


def cross_entropy_forward(x, target):
    """Return the losses (N, places) and the log-probabilities (N, C, places)."""
    n, classes, places = x.shape
    log_p = log_softmax_forward(x, dim=1)
    losses = np.empty((n, places), x.dtype)
    launch(_losses, n * places, log_p, target, losses, work=classes)
    return losses, log_p


def cross_entropy_grad_input(grad_losses, log_p, target):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the target) - target_c)."""
    n, classes, places = log_p.shape
    grad_input = np.empty_like(log_p)
    launch(_grad_input, n * places, grad_losses, log_p, target, grad_input, work=10 * classes)
    return grad_input
