"""What every architecture declares of itself, as data: its forms, and the class that builds them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minicnn.autograd import Array, Tensor
from minicnn.functional.check import Input
from minicnn.nn import Module


@dataclass(frozen=True, kw_only=True, repr=False)
class Form:
    """One form of an architecture: what stands around the network when it is trained and used.

    Attributes
    ----------
    name, summary : str
    preprocess : function
        uint8 images (N, H, W) or (N, C, H, W) -> float32 array (N, C, H, W), as the network wants them.
    loss : function
        (outputs, class indices) -> Tensor of one number.
    predict : function
        outputs -> array (N,) of class indices.
    probabilities : function
        outputs -> array (N, classes) whose rows sum to 1.
    recipe : function
        () -> how to train it, as a fresh dict that JSON can hold: ``epochs``, ``batch_size``, and the ``name`` and
        options of the ``optimizer`` (in ``minicnn.train``) and the ``schedule`` (in ``minicnn.train.schedules``).
    """

    name: str
    summary: str
    preprocess: Callable[[Array], Array]
    loss: Callable[[Input, Any], Tensor]
    predict: Callable[[Input], Array]
    probabilities: Callable[[Input], Array]
    recipe: Callable[[], dict[str, Any]]

    def __repr__(self) -> str:
        return repr(self.name)


@dataclass(frozen=True)
class Architecture:
    """An entry of the list of models.

    Attributes
    ----------
    name : str
    build : type
        ``build(form, **options) -> Module``; it keeps ``form`` (a Form) and every option as attributes.
    forms : mapping of name to Form
    default : str
        The form that ``create`` takes by default.
    """

    name: str
    build: Callable[..., Module]
    forms: Mapping[str, Form]
    default: str

    @property
    def options(self) -> list[str]:
        """Names of the options that ``build`` takes."""
        return [p.name for p in inspect.signature(self.build).parameters.values() if p.kind is p.KEYWORD_ONLY]
