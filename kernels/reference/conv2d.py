"""Convolution (cross-correlation, as all of deep learning has it: the filter is not flipped).

out[b, oc, oy, ox] = bias[oc] + sum over (ic, ky, kx) of
    x[b, ic, oy * stride + ky * dilation - top, ox * stride + kx * dilation - left] * weight[oc, ic, ky, kx]

With ``groups`` the channels fall into that many separate convolutions. With a ``table`` (bool, C_out x C_in) only
the connections marked in it exist, as in LeNet-5's C3; ``weight`` then is (connections, KH, KW), one filter
for each mark, row by row.

All four functions walk the same connections; only the last line differs.
"""

import numpy as np


def _connections(c_in, c_out, groups, table):
    """List (oc, ic, place of the filter in ``weight``)."""
    if table is not None:
        return [(oc, ic, k) for k, (oc, ic) in enumerate(np.argwhere(table))]
    per_in, per_out = c_in // groups, c_out // groups
    return [(oc, oc // per_out * per_in + i, (oc, i)) for oc in range(c_out) for i in range(per_in)]


def _walk(x_shape, out_shape, kernel, connections, stride, padding, dilation):
    """Yield every multiplication: output place, input place, filter place."""
    n, _, h, w = x_shape
    (top, _), (left, _) = padding
    for b in range(n):
        for oc, ic, k in connections:
            for oy in range(out_shape[2]):
                for ox in range(out_shape[3]):
                    for ky in range(kernel[0]):
                        for kx in range(kernel[1]):
                            y = oy * stride[0] + ky * dilation[0] - top
                            xx = ox * stride[1] + kx * dilation[1] - left
                            if 0 <= y < h and 0 <= xx < w:
                                place = (*k, ky, kx) if isinstance(k, tuple) else (k, ky, kx)
                                yield (b, oc, oy, ox), (b, ic, y, xx), place


def conv2d_forward(
    x, weight, bias, *, stride, padding, dilation, groups, table, out_hw, residual=None, activation=None
):
    """X (N, C_in, H, W), weight (C_out, C_in // groups, KH, KW), bias (C_out,) or None -> (N, C_out, H_out, W_out)."""
    c_in, c_out = x.shape[1], weight.shape[0] if table is None else table.shape[0]
    out = np.zeros((x.shape[0], c_out, *out_hw), x.dtype)
    if bias is not None:
        out += bias[:, None, None]
    connections = _connections(c_in, c_out, groups, table)
    for o, i, k in _walk(x.shape, out.shape, weight.shape[-2:], connections, stride, padding, dilation):
        out[o] += x[i] * weight[k]
    if residual is not None:
        out += residual
    if activation is not None:
        out = np.where(out < 0, 0, out)
    if activation == "relu6":
        out = np.where(out > 6, 6, out)
    return out


def conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out) -> (N, C_in, H, W)."""
    connections = _connections(input_shape[1], grad_out.shape[1], groups, table)
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for o, i, k in _walk(input_shape, grad_out.shape, weight.shape[-2:], connections, stride, padding, dilation):
        grad_input[i] += grad_out[o] * weight[k]
    return grad_input


def conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups, table):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> the shape of the weight."""
    connections = _connections(x.shape[1], grad_out.shape[1], groups, table)
    grad_weight = np.zeros(weight_shape, grad_out.dtype)
    for o, i, k in _walk(x.shape, grad_out.shape, weight_shape[-2:], connections, stride, padding, dilation):
        grad_weight[k] += grad_out[o] * x[i]
    return grad_weight


def conv2d_grad_bias(grad_out):
    """grad_out (N, C_out, H_out, W_out) -> (C_out,)."""
    n, c_out, h_out, w_out = grad_out.shape
    grad_bias = np.zeros(c_out, grad_out.dtype)
    for b in range(n):
        for oc in range(c_out):
            for oy in range(h_out):
                for ox in range(w_out):
                    grad_bias[oc] += grad_out[b, oc, oy, ox]
    return grad_bias
