"""The public ops: each checks its arguments, runs a kernel, and records its gradients.

Arguments are named and ordered as in ``torch.nn.functional``; options are keyword-only; a NumPy array is
accepted wherever a Tensor is. Images are (N, C, H, W), filters (C_out, C_in // groups, KH, KW).
"""

from minicnn.functional.activations import relu as relu
from minicnn.functional.activations import relu6 as relu6
from minicnn.functional.activations import scaled_tanh as scaled_tanh
from minicnn.functional.activations import sigmoid as sigmoid
from minicnn.functional.activations import tanh as tanh
from minicnn.functional.arithmetic import sub as sub
from minicnn.functional.batch_norm2d import batch_norm2d as batch_norm2d
from minicnn.functional.conv2d import conv2d as conv2d
from minicnn.functional.cross_entropy import cross_entropy as cross_entropy
from minicnn.functional.dropout import dropout as dropout
from minicnn.functional.dropout import dropout2d as dropout2d
from minicnn.functional.linear import linear as linear
from minicnn.functional.max_pool2d import max_pool2d as max_pool2d
from minicnn.functional.mse_loss import mse_loss as mse_loss
from minicnn.functional.rbf import rbf as rbf
from minicnn.functional.softmax import log_softmax as log_softmax
from minicnn.functional.softmax import softmax as softmax
