"""From a recipe's data to the things themselves: ``{"name": "SGD", "lr": 0.1}`` to an optimiser, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.errors import OptionError, nearest
from minicnn.train import schedules
from minicnn.train.adam import Adam, AdamW
from minicnn.train.optimizer import Optimizer, Parameters
from minicnn.train.rmsprop import RMSprop
from minicnn.train.schedules import Schedule
from minicnn.train.sgd import SGD
from minicnn.train.stochastic_diagonal_levenberg_marquardt import StochasticDiagonalLevenbergMarquardt

OPTIMIZERS: dict[str, Any] = {
    kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, StochasticDiagonalLevenbergMarquardt)
}
SCHEDULES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (schedules.Step, schedules.Cosine, schedules.Polynomial, schedules.Table, schedules.Warmup)
}


def make_optimizer(recipe: Mapping[str, Any], params: Parameters) -> Optimizer:
    """Make the optimiser that a recipe describes.

    Raises
    ------
    OptionError
        If there is no optimiser of that name, or an option is out of its range.

    Examples
    --------
    >>> from minicnn import nn
    >>> type(make_optimizer({"name": "Adam", "lr": 0.002}, nn.Linear(2, 1).parameters())).__name__
    'Adam'
    """
    options = dict(recipe)
    optimizer: Optimizer = _look_up("optimizer", options.pop("name"), OPTIMIZERS)(params, **options)
    return optimizer


def make_schedule(recipe: Mapping[str, Any] | None) -> Schedule | None:
    """Make the schedule that a recipe describes; none for None.

    Examples
    --------
    >>> make_schedule({"name": "Cosine", "epochs": 10})(5.0)
    0.5
    """
    if recipe is None:
        return None
    options = {key: _tuples(value) for key, value in recipe.items() if key != "name"}
    schedule: Schedule = _look_up("schedule", recipe["name"], SCHEDULES)(**options)
    return schedule


def _look_up(what: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise OptionError(f"{what} must be one of {', '.join(known)}, got {name!r}{nearest(name, known)}")
    return known[name]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
