"""minicnn: the classic convolutional networks on CPU kernels written in Python that one can read.

>>> import minicnn
>>> model = minicnn.models.create("lenet5", form="modern")
>>> sum(p.size for p in model.parameters())
61706
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minicnn import errors as errors
from minicnn import functional as functional
from minicnn import nn as nn
from minicnn import random as random
from minicnn.autograd import Tensor as Tensor
from minicnn.autograd import no_grad as no_grad
from minicnn.kernels import using_kernels as using_kernels
from minicnn.kernels.jit import get_num_threads as get_num_threads
from minicnn.kernels.jit import set_num_threads as set_num_threads
from minicnn.kernels.winograd import set_winograd as set_winograd
from minicnn.random import manual_seed as manual_seed

if TYPE_CHECKING:
    from minicnn import data as data
    from minicnn import inspect as inspect
    from minicnn import models as models
    from minicnn import testing as testing
    from minicnn import train as train
    from minicnn import transfer as transfer
    from minicnn import weights as weights
    from minicnn.inspect import diff as diff

# Modules, and what a module has: so that `import minicnn` is quick.
_ON_FIRST_USE = {
    **dict.fromkeys(("data", "inspect", "models", "testing", "train", "transfer", "weights"), ""),
    "diff": "inspect",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        module = _ON_FIRST_USE[name]
        return getattr(import_module(f"minicnn.{module}"), name) if module else import_module(f"minicnn.{name}")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})
