"""Squared differences, fast. Read reference/mse_loss.py first."""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _losses(start, stop, x, target, losses):
    for i in range(start, stop):
        losses[i] = (x[i] - target[i]) * (x[i] - target[i])


@kernel
def _grad_input(start, stop, grad_losses, x, target, grad_input):
    for i in range(start, stop):
        difference = x[i] - target[i]
        grad_input[i] = grad_losses[i] * (difference + difference)


def mse_loss_forward(x, target):
    """Return one loss per element."""
    losses = np.empty_like(x)
    launch(_losses, x.size, x.reshape(-1), target.reshape(-1), losses.reshape(-1), work=1)
    return losses


def mse_loss_grad_input(grad_losses, x, target):
    """grad_input_i = 2 * grad_loss_i * (x_i - target_i); the target's gradient is minus that."""
    grad_input = np.empty_like(x)
    flat = [a.reshape(-1) for a in (grad_losses, x, target, grad_input)]
    launch(_grad_input, x.size, *flat, work=1)
    return grad_input
