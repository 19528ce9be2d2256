"""The code from which published weights come, with our weights: PyTorch, torchvision, timm and Keras.

``pip install torch==2.13.0 keras``, then ``pip install --no-deps torchvision==0.28.0 timm`` (see .ci/run).
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from minicnn import nn

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

WEIGHTED = (nn.Conv2d, nn.DepthwiseConv2d, nn.Linear)


@cache
def torchvision() -> Any:
    """Import torchvision, whose wheels want a GPU build: two operators that it looks for are declared first."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision.models

    torchvision.models.declared = library  # the operators live as long as this
    return torchvision.models


@dataclass
class Case:
    """One network: how we and how they make it."""

    options: dict[str, Any]  # of models.create
    original: Callable[[], Any]
    size: int  # for gradients; logits are compared at the form's own

    def __str__(self) -> str:
        return "-".join(map(str, self.options.values()))


def _of_torchvision(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: Torch(getattr(torchvision(), name)(weights=None, **options))


def _of_timm(name: str) -> Callable[[], Any]:
    def make() -> Torch:
        torchvision()
        import timm

        return Torch(timm.create_model(name))

    return make


def _of_keras(name: str, **options: Any) -> Callable[[], Any]:
    def make() -> Keras:
        import keras
        from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE

        keras.config.set_floatx("float64")
        BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # it would do many sums in float32 all the same
        keras.backend.clear_session()  # automatic names count from the start again
        return Keras(getattr(keras.applications, name)(weights=None, classifier_activation=None, **options))

    return make


def leaves(model: Any) -> tuple[list[Any], list[Any]]:
    """Our layers with weights and our norms, in order; GoogLeNet's auxiliary heads come before the last layer."""
    heads = set(model.heads.values())
    found = list(model.named_modules())
    if model.name == "googlenet":
        found.sort(key=lambda pair: 2 if pair[0] == "fc" else pair[0].partition(".")[0] in heads)
    modules = [module for _, module in found]
    return [m for m in modules if isinstance(m, WEIGHTED)], [m for m in modules if isinstance(m, nn.BatchNorm2d)]


class Torch:
    """A network of PyTorch's; its layers and ours are matched by their order."""

    trains, images = True, 2  # for gradients: with the batch's own statistics

    def __init__(self, net: Any) -> None:
        import torch

        self.torch, self.net = torch, net
        kinds = torch.nn
        modules = list(net.modules())
        self.weighted = [m for m in modules if isinstance(m, (kinds.Conv2d, kinds.Linear))]
        self.norms = [m for m in modules if isinstance(m, kinds.BatchNorm2d)]
        for module in modules:
            if isinstance(module, kinds.Dropout):
                module.p = 0.0

    def _pairs(self, model: Any):
        weighted, norms = leaves(model)
        assert (len(weighted), len(norms)) == (len(self.weighted), len(self.norms))
        for ours, theirs in zip((*weighted, *norms), (*self.weighted, *self.norms), strict=True):
            for name in ("weight", "bias", "running_mean", "running_var"):
                if getattr(ours, name, None) is not None:
                    yield getattr(ours, name), getattr(theirs, name)
                else:
                    assert getattr(theirs, name, None) is None

    def take(self, model: Any) -> None:
        with self.torch.no_grad():
            for ours, theirs in self._pairs(model):
                theirs.copy_(self.torch.from_numpy(ours.array))

    def logits(self, images: np.ndarray) -> np.ndarray:
        with self.torch.no_grad():
            return self.net.eval()(self.torch.from_numpy(images)).numpy()

    def gradients(self, model: Any, images: np.ndarray, labels: np.ndarray, aux_weight: float):
        """Yield (our parameter, their gradient) of the training loss, batch norm by the batch, in float64."""
        self.net.double().train()
        outputs = self.net(self.torch.from_numpy(images))
        outputs = tuple(outputs) if isinstance(outputs, tuple) else (outputs,)
        loss = self.torch.nn.functional.cross_entropy
        target = self.torch.from_numpy(labels)
        (loss(outputs[0], target) + sum(aux_weight * loss(o, target) for o in outputs[1:])).backward()
        for ours, theirs in self._pairs(model):
            if isinstance(ours, nn.Parameter):
                yield ours, theirs.grad.numpy()


class Keras:
    """A network of Keras' on PyTorch; its layers are matched by their names, automatic ones by their numbers."""

    trains, images = False, 1  # its way of training keeps no gradients

    def __init__(self, net: Any) -> None:
        import torch

        self.torch, self.net = torch, net
        layers = sorted((x for x in net.layers if x.weights), key=lambda layer: _place(layer.name, net.name))
        self.norms = [x for x in layers if type(x).__name__ == "BatchNormalization"]
        self.weighted = [x for x in layers if x not in self.norms]

    def _arrays(self):
        """Yield (their variable, how to make its array ours), in our order."""
        for layer in self.weighted:
            kind = type(layer).__name__
            kernels = [v for v in layer.weights if v.ndim > 1]
            for kernel in kernels:
                depthwise = kind == "DepthwiseConv2D" or kernel is not kernels[-1]
                yield kernel, _DEPTHWISE if depthwise else _CONV if kernel.ndim == 4 else _dense(kernel.shape, self.net)
            for bias in (v for v in layer.weights if v.ndim == 1):
                yield bias, _SAME
        for norm in self.norms:
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                if getattr(norm, name, None) is not None:
                    yield getattr(norm, name), _SAME

    def _pairs(self, model: Any):
        weighted, norms = leaves(model)
        ours = [getattr(m, name) for m in weighted for name in ("weight", "bias")]
        ours += [getattr(m, name) for m in norms for name in ("weight", "bias", "running_mean", "running_var")]
        yield from zip((o for o in ours if o is not None), self._arrays(), strict=True)

    def take(self, model: Any) -> None:
        for ours, (theirs, (to_theirs, _)) in self._pairs(model):
            array = to_theirs(ours.array)
            theirs.assign(array.reshape(theirs.shape))

    def logits(self, images: np.ndarray) -> np.ndarray:
        with self.torch.no_grad():
            return self._run(images).numpy()

    def _run(self, images: np.ndarray) -> Any:
        return self.net(self.torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1))), training=False)

    def gradients(self, model: Any, images: np.ndarray, labels: np.ndarray, aux_weight: float):
        outputs = self._run(images)
        self.torch.nn.functional.cross_entropy(outputs, self.torch.from_numpy(labels)).backward()
        for ours, (theirs, (_, to_ours)) in self._pairs(model):
            if isinstance(ours, nn.Parameter):
                yield ours, to_ours(theirs.value.grad.numpy()).reshape(ours.shape)


_SAME = (lambda a: a, lambda a: a)
_CONV = (lambda a: _four(a).transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))  # ours OIHW, theirs HWIO
_DEPTHWISE = (lambda a: a.transpose(2, 3, 0, 1), lambda a: a.transpose(2, 3, 0, 1))


def _four(array: np.ndarray) -> np.ndarray:
    return array.reshape(*array.shape, *[1] * (4 - array.ndim))


def _dense(shape: tuple[int, int], net: Any):
    """Of a Dense layer; the first after Flatten sees (H, W, C) where ours sees (C, H, W)."""
    if shape[0] == 25088:
        return (
            lambda a: a.reshape(-1, 512, 7, 7).transpose(2, 3, 1, 0).reshape(shape),
            lambda a: a.reshape(7, 7, 512, -1).transpose(3, 2, 0, 1).reshape(shape[::-1]),
        )
    return (lambda a: a.T, lambda a: a.T)


def _place(name: str, network: str) -> tuple[float, ...]:
    """Where a layer of Keras' stands in our order."""
    number = re.search(r"_(\d+)$", name)
    automatic = int(number[1]) if number else 0
    if found := re.match(r"conv(\d)_block(\d+)_(preact|\d)_(\w+)", name):  # ResNet
        place = {"preact": 0, "1": 1, "2": 2, "3": 3, "0": 4}[found[3]]
        return (int(found[1]), int(found[2]), place)
    if re.match(r"conv1_(conv|bn)$", name) and "resnet" in network:
        return (1,)
    if found := re.match(r"block(\d+)_(?:sep)?conv(\d)", name):  # VGG, Xception
        return (int(found[1]), int(found[2]))
    if network == "xception" and name.startswith(("conv2d", "batch_norm")):  # the shortcuts have no names
        return ((2, 3, 4, 13)[automatic], 0)
    if name.startswith(("conv2d", "batch_norm")):  # Inception
        return (automatic,)
    if found := re.match(r"conv_(dw|pw)_(\d+)", name):  # MobileNet
        return (1 + int(found[2]), found[1] == "pw")
    return {"conv1": (1,), "conv1_bn": (1,), "post_bn": (900,), "fc1": (901,), "fc2": (902,)}.get(name, (999,))


CASES = [
    Case({"name": "alexnet", "form": "torchvision"}, _of_torchvision("alexnet"), 127),
    *[
        Case({"name": f"vgg{n}{bn}", "form": "torchvision"}, _of_torchvision(f"vgg{n}{bn}"), 64)
        for n in (11, 13, 16, 19)
        for bn in ("", "_bn")
    ],
    Case(
        {"name": "googlenet", "form": "torchvision", "aux": True},
        _of_torchvision("googlenet", aux_logits=True, init_weights=False),
        96,
    ),
    Case(
        {"name": "inception_v3", "form": "torchvision", "aux": True},
        _of_torchvision("inception_v3", aux_logits=True, init_weights=False),
        299,
    ),
    *[
        Case({"name": f"resnet{n}", "form": "torchvision"}, _of_torchvision(f"resnet{n}"), 96)
        for n in (18, 34, 50, 101, 152)
    ],
    Case({"name": "xception", "form": "timm"}, _of_timm("legacy_xception"), 71),
    Case({"name": "mobilenet", "form": "timm"}, _of_timm("mobilenetv1_100"), 96),
    *[Case({"name": f"vgg{n}", "form": "keras"}, _of_keras(f"VGG{n}"), 224) for n in (16, 19)],
    *[
        Case({"name": f"resnet{n}", "form": f"keras{v.lower() and '_v2'}"}, _of_keras(f"ResNet{n}{v}"), 224)
        for n in (50, 101, 152)
        for v in ("", "V2")
    ],
    Case({"name": "inception_v3", "form": "keras"}, _of_keras("InceptionV3"), 299),
    Case({"name": "xception", "form": "keras"}, _of_keras("Xception"), 299),
    *[
        Case({"name": "mobilenet", "form": "keras", "width": w}, _of_keras("MobileNet", alpha=w), 224)
        for w in (0.25, 0.5, 0.75, 1.0)
    ],
]
