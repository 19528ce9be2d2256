"""Every output is a weighted sum of all inputs: three matrix products. Read reference/linear.py first.

out = x W',  grad_input = grad_out W,  grad_weight = grad_out' x
"""

from minicnn.kernels.gemm import matmul


def linear_forward(x, weight, bias):
    """X (N, I), weight (O, I), bias (O,) or None -> (N, O)."""
    return matmul(x, weight.T, bias)


def linear_grad_input(grad_out, weight):
    """grad_out (N, O), weight (O, I) -> (N, I)."""
    return matmul(grad_out, weight)


def linear_grad_weight(grad_out, x):
    """grad_out (N, O), x (N, I) -> (O, I)."""
    return matmul(grad_out.T, x)


def linear_grad_bias(grad_out):
    """grad_out (N, O) -> (O,)."""
    return grad_out.sum(axis=0)
