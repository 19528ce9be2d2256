"""What all optimisers share: groups of parameters, their options, and a state that can be saved.

An optimiser is a formula that turns a gradient into a change of a parameter; each formula has a file of its own
(``sgd.py``, ``adam.py``, ...) and fills in ``_update``. The symbols are those of PyTorch's documentation, whose
update rules these are: ``g`` the gradient, ``lr`` the learning rate.

NumPy computes the updates, in place, a block of elements at a time: what a formula makes on the way then stays in the
cache. 9.4 million weights take SGD with momentum 10 ms instead of 22, AdamW 37 instead of 88 (EPYC, one core).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Array, Tensor
from minicnn.errors import OptionError, ShapeError, StateError
from minicnn.nn import Module

Loss = Callable[[Tensor, Array], Tensor]
Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]

BLOCK = 65536  # elements updated at a time


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _natural(value: float) -> bool:
    return 0 <= value < math.inf


def _share(value: float) -> bool:
    return 0 <= value < 1


# What the options may be, in words and as a test (which NaN fails).
RULES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "lr": ("> 0 and finite", lambda value: 0 < value < math.inf),
    "mu": ("> 0 and finite", lambda value: 0 < value < math.inf),
    "weight_decay": (">= 0 and finite", _natural),
    "eps": (">= 0 and finite", _natural),
    "momentum": ("in 0 <= momentum < 1", _share),
    "alpha": ("in 0 <= alpha < 1", _share),
    "betas": ("in 0 <= beta < 1, both", _share),
}


class Optimizer:
    """The base class: ``step()`` calls ``_update`` for every parameter that has a gradient.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        The parameters, or groups ``{"params": [...], "lr": 0.01, ...}`` whose options go before the common ones.
    slots : sequence of str
        The names of the arrays, shaped like the parameter, that the formula keeps for each parameter.
    **options : float, bool or pair
        The formula's options, of which ``lr`` is one.

    Raises
    ------
    OptionError
        If there are no parameters, one appears twice, or an option is unknown or out of its range.
    """

    factor: float
    """What a schedule multiplies every learning rate with; 1 without a schedule."""

    samples = 0
    """On how many images, chosen anew, ``start_epoch`` shall be called before each epoch."""

    def __init__(self, params: Parameters, slots: Sequence[str], **options: Any) -> None:
        self.name = type(self).__name__
        self.factor, self.steps = 1.0, 0
        try:
            given = list(params)
        except TypeError:
            raise OptionError(f"{self.name}: params must be Tensors or groups of them, got {params!r}") from None
        self.groups: list[dict[str, Any]] = []
        for item in given if given and isinstance(given[0], Mapping) else [{"params": given}]:
            if not isinstance(item, Mapping) or "params" not in item:
                raise OptionError(f'{self.name}: a group must be a dict with "params", got {item!r}')
            group = {**options, **item, "params": list(item["params"])}
            if unknown := set(group) - set(options) - {"params"}:
                raise OptionError(f"{self.name}: a group has no option {', '.join(sorted(unknown))}")
            self._check(group)
            self.groups.append(group)
        self.params: list[Tensor] = [p for group in self.groups for p in group["params"]]
        for p in self.params:
            if not isinstance(p, Tensor):
                raise OptionError(f"{self.name}: params must be Tensors or groups of them, got {type(p).__name__}")
        if not self.params or len({id(p) for p in self.params}) < len(self.params):
            raise OptionError(f"{self.name}: params must be at least one, and each once, got {len(self.params)}")
        self.slots: list[dict[str, Array]] = [{slot: np.zeros_like(p.array) for slot in slots} for p in self.params]

    def _check(self, group: Mapping[str, Any]) -> None:
        """Refuse options out of range; a subclass may add rules of its own."""
        for name, (rule, holds) in RULES.items():
            if name not in group:
                continue
            values = group[name] if name == "betas" else (group[name],)
            is_legal = isinstance(values, (tuple, list)) and len(values) == (2 if name == "betas" else 1)
            if not is_legal or not all(_is_number(value) and holds(value) for value in values):
                raise OptionError(f"{self.name}: {name} must be {rule}, got {group[name]!r}")

    def step(self) -> None:
        """Change every parameter by its gradient, in place; one without a gradient stays."""
        self.steps += 1
        slots = iter(self.slots)
        for group in self.groups:
            lr = group["lr"] * self.factor
            for p in group["params"]:
                kept = next(slots)
                if p.grad is not None:
                    if not isinstance(p.grad, Tensor) or p.grad.shape != p.shape:
                        raise ShapeError(
                            f"{self.name}: .grad must be a Tensor of its parameter's shape {p.shape}, "
                            f"got {type(p.grad).__name__} of shape {np.shape(p.grad)}"
                        )
                    with p.changing() as values:
                        self._update_in_blocks(values, p.grad.array, kept, lr, group)

    def _update_in_blocks(
        self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]
    ) -> None:
        if p.size <= BLOCK:
            self._update(p, g, slots, lr, group)
            return
        arrays = [array.reshape(-1) for array in (p, g, *slots.values())]
        for start in range(0, p.size, BLOCK):
            p, g, *kept = (array[start : start + BLOCK] for array in arrays)
            self._update(p, g, dict(zip(slots, kept, strict=True)), lr, group)

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        """Write the new values of a stretch of elements into ``p`` (and ``slots``), never into ``g``."""
        raise NotImplementedError

    def start_epoch(self, model: Module, inputs: Array, labels: Array, loss: Loss) -> None:
        """Prepare for a pass over the data; called by ``fit`` if the formula asks for ``samples``."""

    def zero_grad(self) -> None:
        """Forget the gradients (``backward()`` adds to what is there)."""
        for p in self.params:
            p.grad = None

    @property
    def config(self) -> dict[str, Any]:
        """The formula and its options, as JSON knows them: for ``config.json`` and checkpoints."""
        groups = [
            {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in group.items()
                if name != "params"
            }
            for group in self.groups
        ]
        return {"name": self.name, "groups": groups}

    def state_dict(self) -> dict[str, Array]:
        """Return what the formula remembers: steps, the schedule's factor and, by parameter, copies of the slots."""
        state = {f"{i}.{slot}": array.copy() for i, slots in enumerate(self.slots) for slot, array in slots.items()}
        return {"steps": np.array(self.steps, np.int64), "factor": np.array(self.factor), **state}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Continue exactly where the optimiser was that gave this state.

        Raises
        ------
        StateError
            If it was made by another formula or for other parameters; nothing is changed then.
        """
        if not isinstance(state, Mapping):
            raise StateError(f"{self.name}: the state must be a mapping of names to arrays, got {type(state).__name__}")
        mine = self.state_dict()
        wrong = sorted(set(mine) ^ set(state))
        wrong += [name for name in set(mine) & set(state) if mine[name].shape != np.shape(state[name])]
        if wrong:
            raise StateError(f"{self.name}: the state is of another optimiser or network, it differs in {wrong}")
        self.steps, self.factor = int(state["steps"]), float(state["factor"])
        for i, slots in enumerate(self.slots):
            for slot in slots:
                slots[slot][...] = state[f"{i}.{slot}"]
