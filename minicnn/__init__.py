"""minicnn: the classic convolutional networks on CPU kernels written in Python that one can read.

>>> import minicnn
>>> model = minicnn.models.create("lenet5", form="modern")
>>> sum(p.size for p in model.parameters())
61706
"""

from minicnn import data as data
from minicnn import errors as errors
from minicnn import functional as functional
from minicnn import inspect as inspect
from minicnn import models as models
from minicnn import nn as nn
from minicnn import random as random
from minicnn import train as train
from minicnn.autograd import Tensor as Tensor
from minicnn.autograd import no_grad as no_grad
from minicnn.kernels import using_kernels as using_kernels
from minicnn.kernels.jit import get_num_threads as get_num_threads
from minicnn.kernels.jit import set_num_threads as set_num_threads
from minicnn.random import manual_seed as manual_seed
