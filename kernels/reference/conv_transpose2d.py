"""Transposed convolution: every input pixel stamps a weighted copy of the filter onto the output.

out[b, oc, y * stride + ky * dilation - top, x * stride + kx * dilation - left] +=
    x[b, ic, y, x] * weight[ic, oc, ky, kx]

It is the gradient of a convolution with regard to its input, used forwards. What falls outside the output, into
its ``padding``, is lost.
"""

import numpy as np


def _walk(x_shape, out_shape, kernel, stride, padding, dilation, groups):
    """Yield every multiplication: output place, input place, filter place."""
    n, c_in, h, w = x_shape
    (top, _), (left, _) = padding
    per_in, per_out = c_in // groups, out_shape[1] // groups
    for b in range(n):
        for ic in range(c_in):
            for j in range(per_out):
                oc = ic // per_in * per_out + j
                for y in range(h):
                    for x in range(w):
                        for ky in range(kernel[0]):
                            for kx in range(kernel[1]):
                                oy = y * stride[0] + ky * dilation[0] - top
                                ox = x * stride[1] + kx * dilation[1] - left
                                if 0 <= oy < out_shape[2] and 0 <= ox < out_shape[3]:
                                    yield (b, oc, oy, ox), (b, ic, y, x), (ic, j, ky, kx)


def conv_transpose2d_forward(x, weight, bias, *, stride, padding, dilation, groups, out_hw):
    """X (N, C_in, H, W), weight (C_in, C_out // groups, KH, KW), bias (C_out,) or None -> (N, C_out, H_out, W_out)."""
    out = np.zeros((x.shape[0], weight.shape[1] * groups, *out_hw), x.dtype)
    if bias is not None:
        out += bias[:, None, None]
    for o, i, k in _walk(x.shape, out.shape, weight.shape[2:], stride, padding, dilation, groups):
        out[o] += x[i] * weight[k]
    return out


def conv_transpose2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation, groups):
    """grad_out (N, C_out, H_out, W_out) -> (N, C_in, H, W)."""
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for o, i, k in _walk(input_shape, grad_out.shape, weight.shape[2:], stride, padding, dilation, groups):
        grad_input[i] += grad_out[o] * weight[k]
    return grad_input


def conv_transpose2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> (C_in, C_out // groups, KH, KW)."""
    grad_weight = np.zeros(weight_shape, grad_out.dtype)
    for o, i, k in _walk(x.shape, grad_out.shape, weight_shape[2:], stride, padding, dilation, groups):
        grad_weight[k] += grad_out[o] * x[i]
    return grad_weight


def conv_transpose2d_grad_bias(grad_out):
    """grad_out (N, C_out, H_out, W_out) -> (C_out,)."""
    return grad_out.sum(axis=(0, 2, 3))
