<<<<<<< HEAD
"""Matrix product: gemm.py's, whose header explains it. Read reference/matmul.py first."""
=======
"""Matrix product, fast. Read reference/matmul.py first, then gemm.py, which does it."""
>>>>>>> arith

from minicnn.kernels import gemm


def matmul_forward(a, b):
<<<<<<< HEAD
    """Return a (N, K) times b (K, M), of shape (N, M)."""
=======
    """Return a (N, K) times b (K, M), of shape (N, M); either may be the transposed view of a contiguous array."""
>>>>>>> arith
    return gemm.matmul(a, b)
