"""Transposed convolution: a convolution's gradients in other roles. Read reference/conv_transpose2d.py first.

Its forward pass is the convolution's gradient of the input, its gradient of the input the convolution, and in the
gradient of the weight image and gradient change places. So it is as fast as conv2d.py, and has no loops of its own.
"""

from minicnn.kernels import conv2d


def conv_transpose2d_forward(x, weight, bias, *, stride, padding, dilation, groups, out_hw):
    """X (N, C_in, H, W), weight (C_in, C_out // groups, KH, KW), bias (C_out,) or None -> (N, C_out, H_out, W_out)."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "table": None}
    shape = (x.shape[0], weight.shape[1] * groups, *out_hw)
    out = conv2d.conv2d_grad_input(x, weight, input_shape=shape, **options)
    if bias is not None:
        out += bias[:, None, None]
    return out


def conv_transpose2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation, groups):
    """grad_out (N, C_out, H_out, W_out) -> (N, C_in, H, W)."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "table": None}
    return conv2d.conv2d_forward(grad_out, weight, None, out_hw=input_shape[2:], **options)


def conv_transpose2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation, groups):
    """grad_out (N, C_out, H_out, W_out), x (N, C_in, H, W) -> (C_in, C_out // groups, KH, KW)."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "table": None}
    return conv2d.conv2d_grad_weight(x, grad_out, weight_shape=weight_shape, **options)


conv_transpose2d_grad_bias = conv2d.conv2d_grad_bias
