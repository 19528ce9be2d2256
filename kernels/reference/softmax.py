"""Softmax and its logarithm along one axis.

softmax:      out_c = exp(x_c) / (sum over k of exp(x_k))
log_softmax:  out_c = x_c - log(sum over k of exp(x_k))

Subtracting one number from all x changes neither; subtracting the maximum keeps every exponential within 0 .. 1.
"""

import numpy as np


def softmax_forward(x, *, dim):
    """Return positive numbers that sum to 1 along ``dim``."""
    out = np.empty_like(x)
    rows, out_rows = np.moveaxis(x, dim, -1), np.moveaxis(out, dim, -1)
    for place in np.ndindex(rows.shape[:-1]):
        exps = [np.exp(a - max(rows[place])) for a in rows[place]]
        for c in range(len(exps)):
            out_rows[(*place, c)] = exps[c] / sum(exps)
    return out


def softmax_grad_input(grad_out, out, *, dim):
    """grad_input_c = out_c * (grad_out_c - sum over k of grad_out_k * out_k)."""
    grad_input = np.empty_like(out)
    grads, outs, results = (np.moveaxis(a, dim, -1) for a in (grad_out, out, grad_input))
    for place in np.ndindex(outs.shape[:-1]):
        dot = sum(g * y for g, y in zip(grads[place], outs[place], strict=True))
        for c in range(outs.shape[-1]):
            results[(*place, c)] = outs[(*place, c)] * (grads[(*place, c)] - dot)
    return grad_input


def log_softmax_forward(x, *, dim):
    """Return the logarithm of softmax, exact where softmax itself is too small for a float."""
    out = np.empty_like(x)
    rows, out_rows = np.moveaxis(x, dim, -1), np.moveaxis(out, dim, -1)
    for place in np.ndindex(rows.shape[:-1]):
        top = max(rows[place])
        log_sum = np.log(sum(np.exp(a - top) for a in rows[place]))
        for c in range(rows.shape[-1]):
            out_rows[(*place, c)] = (rows[(*place, c)] - top) - log_sum
    return out


def log_softmax_grad_input(grad_out, out, *, dim):
    """grad_input_c = grad_out_c - exp(out_c) * sum over k of grad_out_k."""
    grad_input = np.empty_like(out)
    grads, outs, results = (np.moveaxis(a, dim, -1) for a in (grad_out, out, grad_input))
    for place in np.ndindex(outs.shape[:-1]):
        total = sum(grads[place])
        for c in range(outs.shape[-1]):
            results[(*place, c)] = grads[(*place, c)] - np.exp(outs[(*place, c)]) * total
    return grad_input
