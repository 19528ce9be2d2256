"""Layers that stay as they are while others learn.

What is frozen is frozen as a whole: its parameters get no gradient, so that backward ends where it begins and no
optimiser moves them, weight decay and momentum included; its batch normalisation uses and keeps its running
statistics; its dropout does nothing. ``model.train()`` does not change that, only ``unfreeze`` does. Kernels know
nothing of it, so nothing is compiled again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fnmatch import fnmatchcase

from minicnn.errors import OptionError, nearest
from minicnn.nn import Module, Parameter


def freeze(model: Module, *stages: str, until: str | None = None) -> list[str]:
    """Keep stages of a network as they are.

    Parameters
    ----------
    model : Module
    *stages : str
        Names of stages (``"conv1"``), of parts of them (``"conv4_x.0"``), or patterns of such names
        (``"separable?"``, ``"*.bn"``). None, and no ``until``: the whole network.
    until : str, optional
        All stages from the first to this one, which is one of them.

    Returns
    -------
    list of str
        The names of all frozen stages, see ``frozen``.

    Raises
    ------
    OptionError
        If a name fits nothing; the message gives the nearest that does.

    Examples
    --------
    >>> from minicnn import models
    >>> model = models.create("lenet5")
    >>> freeze(model, until="C3")
    ['C1', 'S2', 'C3']
    >>> model.train().C3.training, model.C5.training, model.C1.conv.weight.requires_grad
    (False, True, False)
    """
    _set(model, stages, _stretch(model, "until", until), True)
    return frozen(model)


def unfreeze(model: Module, *stages: str, since: str | None = None) -> list[str]:
    """Let stages learn again; they take the mode (training, inference) that the network is in.

    Parameters
    ----------
    model : Module
    *stages : str
        As in ``freeze``; none, and no ``since``: the whole network.
    since : str, optional
        This stage and all after it.

    Returns
    -------
    list of str
        The names of all stages that are frozen still.

    Raises
    ------
    OptionError
        If a name fits nothing; the message gives the nearest that does.

    Examples
    --------
    >>> from minicnn import models
    >>> model = models.create("lenet5")
    >>> _ = freeze(model)
    >>> unfreeze(model, since="S4")
    ['C1', 'S2', 'C3']
    """
    _set(model, stages, _stretch(model, "since", since), False)
    return frozen(model)


def frozen(model: Module) -> list[str]:
    """Return the names of the stages that are frozen as a whole, of parts where only these are."""

    def walk(path: str, module: Module) -> Iterator[str]:
        if module.frozen and all(part.frozen for part in module.modules()):
            yield path
            return
        for name, child in module.named_children():
            yield from walk(f"{path}.{name}" if path else name, child)

    return [name for child, stage in model.named_children() for name in walk(child, stage)]


def trainable(model: Module) -> list[Parameter]:
    """Return the parameters that are not frozen, as an optimiser wants them."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def frozen_hashes(model: Module) -> dict[str, str]:
    """Return the SHA-256 of each frozen stage: of names, shapes and values of its parameters and running statistics.

    Examples
    --------
    >>> from minicnn import models
    >>> model = models.create("lenet5")
    >>> _ = freeze(model, "C1")
    >>> before = frozen_hashes(model)
    >>> list(before), before == frozen_hashes(model)
    (['C1'], True)
    """
    modules = dict(model.named_modules())
    return {name: digest(modules[name]) for name in frozen(model)}


def digest(module: Module) -> str:
    """Return the SHA-256 of all parameters and buffers of a module, with their names, dtypes and shapes."""
    found = hashlib.sha256()
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        found.update(tensor.array.data)
    return found.hexdigest()


def _stretch(model: Module, word: str, stage: str | None) -> tuple[str, ...]:
    """Name the stages until or since one."""
    if stage is None:
        return ()
    names = [name for name, _ in model.named_children()]
    if stage not in names:
        raise OptionError(
            f"{word} must be a stage of the network ({', '.join(names)}), got {stage!r}" + nearest(stage, names)
        )
    place = names.index(stage)
    return tuple(names[: place + 1] if word == "until" else names[place:])


def _set(model: Module, stages: tuple[str, ...], stretch: tuple[str, ...], value: bool) -> None:
    modules = dict(model.named_modules())
    chosen = [model] if not stages and not stretch else [modules[name] for name in stretch]
    for stage in stages:
        fitting = [module for name, module in modules.items() if name and fnmatchcase(name, stage)]
        if not fitting:
            known = list(modules)
            raise OptionError(f"no part of the network is called {stage!r}{nearest(stage, known)}")
        chosen += fitting
    for module in dict.fromkeys(part for top in chosen for part in top.modules()):
        module.frozen = value
        module.training = model.training and not value
        for tensor in vars(module).values():
            if isinstance(tensor, Parameter):
                tensor.requires_grad = not value
                tensor.grad = None  # what an earlier step left behind must not move it
