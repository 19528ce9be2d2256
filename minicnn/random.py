"""The one place where randomness starts: a seed, and counters that say what was drawn from it.

Nothing here depends on time, on threads or on the order in which memory is freed: the same seed and the same calls
give the same numbers, and a saved state continues where it was. Without ``manual_seed`` the seed is 0.
"""

from __future__ import annotations

import operator
import threading
from typing import Any

import numpy as np

from minicnn.errors import OptionError

_lock = threading.Lock()
_state: dict[str, Any] = {"seed": 0, "step": 0, "generators": {}}


def manual_seed(seed: int) -> None:
    """Start again from ``seed``; every counter returns to 0.

    Parameters
    ----------
    seed : int
        In 0 .. 2**64 - 1.

    Raises
    ------
    OptionError
        If the seed is not such an integer.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.manual_seed(7)
    >>> minicnn.random.next_stream(), minicnn.random.next_stream()
    ((7, 0), (7, 1))
    >>> minicnn.manual_seed(0)
    """
    set_state({"seed": counter("manual_seed", "seed", seed), "step": 0, "generators": {}})


def get_state() -> dict[str, Any]:
    """Return the seed and the counters, as a dict that JSON can hold.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.manual_seed(7)
    >>> minicnn.random.get_state()
    {'seed': 7, 'step': 0, 'generators': {}}
    >>> minicnn.manual_seed(0)
    """
    with _lock:
        return {**_state, "generators": dict(_state["generators"])}


def set_state(state: dict[str, Any]) -> None:
    """Continue from a dict that ``get_state`` returned.

    Raises
    ------
    OptionError
        If it is anything else; the present state stays.
    """
    if not isinstance(state, dict) or set(state) != set(_state) or not isinstance(state["generators"], dict):
        raise OptionError(f"set_state: state must be a dict with the keys {', '.join(_state)}, got {state!r}")
    fresh = {
        "seed": counter("set_state", "seed", state["seed"]),
        "step": counter("set_state", "step", state["step"]),
        "generators": {str(name): counter("set_state", name, count) for name, count in state["generators"].items()},
    }
    with _lock:
        _state.update(fresh)


def next_stream() -> tuple[int, int]:
    """Return (seed, step) for one call of a random op, and count the step.

    An op such as dropout makes its numbers from (seed, step, index of the element) alone.
    """
    with _lock:
        step = _state["step"]
        _state["step"] = (step + 1) % 2**64
        return _state["seed"], step


def generator(purpose: str) -> np.random.Generator:
    """Return a NumPy generator made from the seed, the purpose, and how often this purpose was asked for.

    So two layers that both ask for ``"init"`` start differently, a model built again after the same
    ``manual_seed`` starts the same, and one purpose never shifts the numbers of another.

    Examples
    --------
    >>> import minicnn
    >>> minicnn.manual_seed(7)
    >>> first, second = minicnn.random.generator("init").random(), minicnn.random.generator("init").random()
    >>> first == second
    False
    >>> minicnn.manual_seed(7)
    >>> first == minicnn.random.generator("init").random()
    True
    >>> minicnn.manual_seed(0)
    """
    with _lock:
        count = _state["generators"].get(purpose, 0)
        _state["generators"][purpose] = count + 1
        seed = _state["seed"]
    return np.random.default_rng([seed, count, *purpose.encode()])


def counter(op: str, name: str, value: Any) -> int:
    """Accept an integer in 0 .. 2**64 - 1 (a seed, a step), NumPy's integers too."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{op}: {name} must be an integer, got {value!r}") from None
    if not 0 <= number < 2**64:
        raise OptionError(f"{op}: {name} must lie in 0 .. 2**64 - 1, got {number}")
    return number
