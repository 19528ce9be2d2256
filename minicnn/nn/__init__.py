"""Layers and networks: objects that own their weights and call the ops of ``minicnn.functional``.

Read module.py first; then any layer, which is its options, its first weights and one line of ``forward``.
"""

from minicnn.nn import init as init
from minicnn.nn.activation import LogSoftmax as LogSoftmax
from minicnn.nn.activation import ReLU as ReLU
from minicnn.nn.activation import ReLU6 as ReLU6
from minicnn.nn.activation import ScaledTanh as ScaledTanh
from minicnn.nn.activation import Sigmoid as Sigmoid
from minicnn.nn.activation import Softmax as Softmax
from minicnn.nn.activation import Tanh as Tanh
from minicnn.nn.block import Branches as Branches
from minicnn.nn.block import ConvNorm as ConvNorm
from minicnn.nn.block import Pad as Pad
from minicnn.nn.container import Flatten as Flatten
from minicnn.nn.container import Identity as Identity
from minicnn.nn.container import Sequential as Sequential
from minicnn.nn.conv import Conv2d as Conv2d
from minicnn.nn.conv import ConvTranspose2d as ConvTranspose2d
from minicnn.nn.conv import DepthwiseConv2d as DepthwiseConv2d
from minicnn.nn.dropout import Dropout as Dropout
from minicnn.nn.dropout import Dropout2d as Dropout2d
from minicnn.nn.linear import RBF as RBF
from minicnn.nn.linear import Linear as Linear
from minicnn.nn.loss import CrossEntropyLoss as CrossEntropyLoss
from minicnn.nn.loss import MSELoss as MSELoss
from minicnn.nn.module import HookHandle as HookHandle
from minicnn.nn.module import LoadReport as LoadReport
from minicnn.nn.module import Module as Module
from minicnn.nn.normalization import BatchNorm2d as BatchNorm2d
from minicnn.nn.normalization import LocalResponseNorm as LocalResponseNorm
from minicnn.nn.normalization import fold_batch_norm as fold_batch_norm
from minicnn.nn.parameter import Buffer as Buffer
from minicnn.nn.parameter import Parameter as Parameter
from minicnn.nn.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from minicnn.nn.pooling import AvgPool2d as AvgPool2d
from minicnn.nn.pooling import GlobalMaxPool2d as GlobalMaxPool2d
from minicnn.nn.pooling import MaxPool2d as MaxPool2d
from minicnn.nn.pooling import Subsample2d as Subsample2d
