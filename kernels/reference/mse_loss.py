"""Squared differences: loss_i = (x_i - target_i)²."""

import numpy as np


def mse_loss_forward(x, target):
    """Return one loss per element."""
    losses = np.empty_like(x)
    for place in np.ndindex(x.shape):
        losses[place] = (x[place] - target[place]) ** 2
    return losses


def mse_loss_grad_input(grad_losses, x, target):
    """grad_input_i = 2 * grad_loss_i * (x_i - target_i); the target's gradient is minus that."""
    grad_input = np.empty_like(x)
    for place in np.ndindex(x.shape):
        grad_input[place] = 2 * grad_losses[place] * (x[place] - target[place])
    return grad_input
