"""Matrix product.

out[i, j] = sum over k of a[i, k] * b[k, j]

Its gradients are matrix products too: grad_out times b transposed, and a transposed times grad_out.
"""

import numpy as np


def matmul_forward(a, b):
    """Return a (N, K) times b (K, M), of shape (N, M); either may be the transposed view of a contiguous array."""
    (n, depth), m = a.shape, b.shape[1]
    out = np.zeros((n, m), a.dtype)
    for i in range(n):
        for j in range(m):
            for k in range(depth):
                out[i, j] += a[i, k] * b[k, j]
    return out
