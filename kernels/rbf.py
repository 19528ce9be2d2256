"""LeNet-5's output layer, fast. Read reference/rbf.py first.

A job is a row of the result: an image in ``rbf_forward`` and ``rbf_grad_input``, a class in ``rbf_grad_codes``. The
square is not multiplied out into a matrix product: near a code, x² - 2xc + c² loses the digits that matter.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel(any_order=True)
def _forward(start, stop, x, codes, out):
    for b in range(start, stop):
        for k in range(len(codes)):
            total = x.dtype.type(0)
            for j in range(x.shape[1]):
                total += (x[b, j] - codes[k, j]) * (x[b, j] - codes[k, j])
            out[b, k] = total


@kernel
def _grad_rows(start, stop, grad_out, rows, others, grad_rows):
    """Give each row i the sum over k of 2 grad_out[i, k] (rows[i] - others[k])."""
    for i in range(start, stop):
        for k in range(len(others)):
            twice = grad_out[i, k] + grad_out[i, k]
            for j in range(rows.shape[1]):
                grad_rows[i, j] += twice * (rows[i, j] - others[k, j])


def rbf_forward(x, codes):
    """X (N, features), codes (classes, features) -> squared distances (N, classes)."""
    out = np.empty((len(x), len(codes)), x.dtype)
    launch(_forward, len(x), x, codes, out, work=codes.size)
    return out


def rbf_grad_input(grad_out, x, codes):
    """Each term gives its slope, 2 (x - code), to x ..."""
    grad_input = np.zeros_like(x)
    launch(_grad_rows, len(x), grad_out, x, codes, grad_input, work=2 * codes.size)
    return grad_input


def rbf_grad_codes(grad_out, x, codes):
    """... and the opposite to the code: the same sum with the two sides exchanged."""
    grad_codes = np.zeros_like(codes)
    by_class = np.ascontiguousarray(grad_out.T)
    launch(_grad_rows, len(codes), by_class, codes, x, grad_codes, work=2 * x.size)
    return grad_codes
