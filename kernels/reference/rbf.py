"""LeNet-5's output layer: how far the features are from the code of each class.

out[b, k] = sum over j of (x[b, j] - codes[k, j])²
"""

import numpy as np


def rbf_forward(x, codes):
    """X (N, features), codes (classes, features) -> squared distances (N, classes)."""
    n, features = x.shape
    out = np.zeros((n, len(codes)), x.dtype)
    for b in range(n):
        for k in range(len(codes)):
            for j in range(features):
                out[b, k] += (x[b, j] - codes[k, j]) ** 2
    return out


def rbf_grad_input(grad_out, x, codes):
    """The same loops; each term gives its slope, 2 (x - code), to x ..."""
    n, features = x.shape
    grad_input = np.zeros_like(x)
    for b in range(n):
        for k in range(len(codes)):
            for j in range(features):
                grad_input[b, j] += grad_out[b, k] * 2 * (x[b, j] - codes[k, j])
    return grad_input


def rbf_grad_codes(grad_out, x, codes):
    """... and the opposite to the code."""
    n, features = x.shape
    grad_codes = np.zeros_like(codes)
    for b in range(n):
        for k in range(len(codes)):
            for j in range(features):
                grad_codes[k, j] -= grad_out[b, k] * 2 * (x[b, j] - codes[k, j])
    return grad_codes
