"""A layer of the networks, ready to be run in minicnn: its arrays, the call, and the gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np

import minicnn
import minicnn.functional as F
from layers import Layer

# How to call an op that does not simply take its arrays and options.
OURS: dict[str, Callable[..., Any]] = {
    "batch_norm2d": lambda x, w, b, residual=None, **options: F.batch_norm2d(
        x, None, None, w, b, training=True, residual=residual, **options
    ),
    "concat": lambda *parts, dim: F.concat(parts, dim),
}


def normal(seed: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype)


def arrays(layer: Layer, dtype: Any) -> list[np.ndarray]:
    """Return the input and the weights: normal data, always the same; weights are scaled so that the output is, too."""
    found = [normal(seed, shape, dtype) for seed, shape in enumerate(layer.shapes)]
    if layer.weighted:
        found[1] /= dtype(np.sqrt(prod(layer.shapes[1][1:])))
    return found


def targets(layer: Layer) -> dict[str, np.ndarray]:
    n, classes = layer.shapes[0][:2]
    return {"target": np.arange(n) % classes} if layer.op == "cross_entropy" else {}


class Ours:
    """A layer with its arrays.

    ``forward()`` does not record; ``record()`` does, and ``gradients()`` of its result are those of all arrays.
    They come from the functions on the tape, without the tape's own cost.
    """

    def __init__(self, layer: Layer, dtype: Any = np.float32) -> None:
        function = OURS.get(layer.op) or getattr(F, layer.op)
        self.inputs = [minicnn.Tensor(array, requires_grad=True) for array in arrays(layer, dtype)]
        self.record = partial(function, *self.inputs, **layer.options, **targets(layer))
        self.grad_out = normal(99, self.forward().shape, dtype)

    def forward(self) -> minicnn.Tensor:
        with minicnn.no_grad():
            return self.record()

    def gradients(self, out: minicnn.Tensor) -> list[Any]:
        found, flows = {}, [(out.node, self.grad_out)]
        for node, flow in flows:  # grows meanwhile, by a node where an op was made of two
            for tensor, gradient in node.pairs:
                if tensor.node is None:
                    found[id(tensor)] = gradient(flow)
                else:
                    flows.append((tensor.node, gradient(flow)))
        return [found[id(tensor)] for tensor in self.inputs]
