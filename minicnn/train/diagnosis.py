"""When training breaks: where."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from minicnn.autograd import Array, Tensor, no_grad
from minicnn.nn import Module


def parameters_not_finite(model: Module) -> list[str]:
    """Return the names of the parameters that hold a NaN or an infinity."""
    return [name for name, p in model.named_parameters() if not np.isfinite(p.array).all()]


def parameters_without_gradient(model: Module) -> list[str]:
    """Return the names of the trainable parameters whose gradient is missing or zero throughout."""
    return [
        name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.array.any())
    ]


def first_not_finite(model: Module, inputs: Array) -> str:
    """Say in words which layer is the first, in the order of computing, whose output is not finite."""
    if not np.isfinite(inputs).all():
        return "the images are not finite when they enter the network"
    guilty: list[tuple[str, Module]] = []

    def watch(name: str, module: Module) -> Any:
        def look(_: Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not guilty and isinstance(output, Tensor) and not np.isfinite(output.array).all():
                guilty.append((name, module))

        return module.register_forward_hook(look)

    with no_grad(), ExitStack() as stack:
        for name, module in model.named_modules():
            stack.enter_context(watch(name, module))
        model(inputs)
    if not guilty:
        return "every layer's output is finite, the loss itself is not"
    name, module = guilty[0]
    bad = parameters_not_finite(module)
    return f"the first layer whose output is not finite is {name or 'the network'}" + (
        f"; neither is its {', its '.join(bad)}" if bad else ""
    )
