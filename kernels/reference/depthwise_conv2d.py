"""Depthwise convolution: each input channel has filters of its own and nothing is summed over channels.

out[b, ic * m + j, oy, ox] = bias[ic * m + j] + sum over (ky, kx) of
    x[b, ic, oy * stride + ky * dilation - top, ox * stride + kx * dilation - left] * weight[ic * m + j, 0, ky, kx]

where m = C_out // C_in is the multiplier (1 in MobileNet and Xception).
"""

import numpy as np


def _walk(x_shape, out_shape, kernel, stride, padding, dilation):
    """Yield every multiplication: output place, input place, filter place."""
    n, c_in, h, w = x_shape
    _, c_out, h_out, w_out = out_shape
    (top, _), (left, _) = padding
    for b in range(n):
        for oc in range(c_out):
            ic = oc // (c_out // c_in)
            for oy in range(h_out):
                for ox in range(w_out):
                    for ky in range(kernel[0]):
                        for kx in range(kernel[1]):
                            y = oy * stride[0] + ky * dilation[0] - top
                            x = ox * stride[1] + kx * dilation[1] - left
                            if 0 <= y < h and 0 <= x < w:
                                yield (b, oc, oy, ox), (b, ic, y, x), (oc, 0, ky, kx)


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    out = np.zeros((x.shape[0], weight.shape[0], *out_hw), x.dtype)
    if bias is not None:
        out += bias[:, None, None]
    for o, i, k in _walk(x.shape, out.shape, weight.shape[2:], stride, padding, dilation):
        out[o] += x[i] * weight[k]
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for o, i, k in _walk(input_shape, grad_out.shape, weight.shape[2:], stride, padding, dilation):
        grad_input[i] += grad_out[o] * weight[k]
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    grad_weight = np.zeros(weight_shape, grad_out.dtype)
    for o, i, k in _walk(x.shape, grad_out.shape, weight_shape[2:], stride, padding, dilation):
        grad_weight[k] += grad_out[o] * x[i]
    return grad_weight


def depthwise_conv2d_grad_bias(grad_out):
    """grad_out (N, C * m, H_out, W_out) -> (C * m,)."""
    return grad_out.sum(axis=(0, 2, 3))
