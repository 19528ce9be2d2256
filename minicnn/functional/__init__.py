"""The public ops: each checks its arguments, runs a kernel, and records its gradients.

Arguments are named and ordered as in ``torch.nn.functional``; options are keyword-only; a NumPy array is
accepted wherever a Tensor is. Images are (N, C, H, W), filters (C_out, C_in // groups, KH, KW).
"""

from minicnn.functional.activations import relu as relu
from minicnn.functional.activations import relu6 as relu6
from minicnn.functional.activations import scaled_tanh as scaled_tanh
from minicnn.functional.activations import sigmoid as sigmoid
from minicnn.functional.activations import tanh as tanh
from minicnn.functional.adaptive_avg_pool2d import adaptive_avg_pool2d as adaptive_avg_pool2d
from minicnn.functional.arithmetic import abs as abs
from minicnn.functional.arithmetic import add as add
from minicnn.functional.arithmetic import astype as astype
from minicnn.functional.arithmetic import div as div
from minicnn.functional.arithmetic import exp as exp
from minicnn.functional.arithmetic import log as log
from minicnn.functional.arithmetic import matmul as matmul
from minicnn.functional.arithmetic import mean as mean
from minicnn.functional.arithmetic import mul as mul
from minicnn.functional.arithmetic import neg as neg
from minicnn.functional.arithmetic import pow as pow
from minicnn.functional.arithmetic import sqrt as sqrt
from minicnn.functional.arithmetic import sub as sub
from minicnn.functional.arithmetic import sum as sum
from minicnn.functional.avg_pool2d import avg_pool2d as avg_pool2d
from minicnn.functional.batch_norm2d import batch_norm2d as batch_norm2d
from minicnn.functional.conv2d import conv2d as conv2d
from minicnn.functional.conv_transpose2d import conv_transpose2d as conv_transpose2d
from minicnn.functional.cross_entropy import cross_entropy as cross_entropy
from minicnn.functional.depthwise_conv2d import depthwise_conv2d as depthwise_conv2d
from minicnn.functional.dropout import dropout as dropout
from minicnn.functional.dropout import dropout2d as dropout2d
from minicnn.functional.interpolate import interpolate as interpolate
from minicnn.functional.linear import linear as linear
from minicnn.functional.local_response_norm import local_response_norm as local_response_norm
from minicnn.functional.max_pool2d import max_pool2d as max_pool2d
from minicnn.functional.mse_loss import mse_loss as mse_loss
from minicnn.functional.pad import pad as pad
from minicnn.functional.rbf import rbf as rbf
from minicnn.functional.rearrange import concat as concat
from minicnn.functional.rearrange import flatten as flatten
from minicnn.functional.rearrange import getitem as getitem
from minicnn.functional.rearrange import reshape as reshape
from minicnn.functional.rearrange import transpose as transpose
from minicnn.functional.softmax import log_softmax as log_softmax
from minicnn.functional.softmax import softmax as softmax
from minicnn.functional.subsample2d import subsample2d as subsample2d
