"""The architectures, one paper a file, found by name.

>>> from minicnn import models
>>> models.list()[:4]
['alexnet', 'googlenet', 'inception_v3', 'lenet5']
>>> model = models.create("lenet5", num_classes=26)
>>> model.config["form"], model.config["num_classes"]
('modern', 26)
>>> twin = models.create(**model.config)
"""

from __future__ import annotations

import builtins
from typing import Any

from minicnn.data.classes import class_names
from minicnn.errors import OptionError, nearest
from minicnn.models import alexnet as alexnet
from minicnn.models import googlenet as googlenet
from minicnn.models import inception_v3 as inception_v3
from minicnn.models import lenet5 as lenet5
from minicnn.models import mobilenet as mobilenet
from minicnn.models import resnet as resnet
from minicnn.models import vgg as vgg
from minicnn.models import xception as xception
from minicnn.models.architecture import Architecture as Architecture
from minicnn.models.architecture import Form as Form
from minicnn.nn import Module

PAPERS = (lenet5, alexnet, vgg, googlenet, inception_v3, resnet, xception, mobilenet)
ARCHITECTURES: dict[str, Architecture] = {entry.name: entry for paper in PAPERS for entry in paper.ARCHITECTURES}


def list() -> builtins.list[str]:
    """Return the names that ``create`` knows."""
    return sorted(ARCHITECTURES)


def create(name: str, *, form: str | None = None, weights: Any = None, strict: bool = True, **options: Any) -> Module:
    """Build a network, with the weights of a file or with new ones.

    After the same ``minicnn.manual_seed`` it always starts from the same new weights.

    Parameters
    ----------
    name : str
        One of ``list()``.
    form : str, optional
        Which form of the architecture, ``"paper"`` for instance; each model's file says what differs, and
        ``minicnn.diff`` lists it. The default is the form that published weights need, with ``weights`` that which
        the file is of.
    weights : path, optional
        A file of weights, whoever wrote it; see ``minicnn.weights.open``. Options that you leave open are then those
        that it needs: ``width``, ``num_classes``, ``include_top``, ...
    strict : bool
        Whether every array of the file must fit; ``load`` in ``minicnn.models.pretrained`` says more.
    **options
        As the model's class takes them. Those for photos have

        ``num_classes`` (1000), ``in_channels`` (3)
            How many logits come out, and channels go in.
        ``include_top`` (True)
            False: the last maps come out, (N, C, H, W), and images of other sizes are welcome.
        ``pooling`` (None)
            ``"avg"`` or ``"max"`` with ``include_top=False``: one number of each of the last maps, (N, C).
        ``size`` (the form's)
            Height and width of the images that ``form.preprocess`` makes.
        ``width`` (1.0)
            The share of all maps, rounded down: MobileNet's alpha, for every network.

        and of their own ``aux`` (GoogLeNet, Inception v3: auxiliary heads), ``shortcut`` (ResNet),
        ``configuration`` (VGG).

    Returns
    -------
    Module
        With ``.config``, a dict that JSON can hold and from which ``create(**config)`` builds the same network,
        and ``.form``, whose ``preprocess``, ``loss``, ``predict``, ``probabilities`` and ``recipe`` belong to it.
        ``.classes`` are the names of its classes, as far as they are known.

    Raises
    ------
    OptionError
        If the name, the form, an option or its value is not known, the message gives the nearest that is; if the size
        is too small for the network, the smallest.
    LoadError
        If the file of weights is damaged, or is of another network.
    StateError
        If it does not fit; the message lists every name that does not.

    Examples
    --------
    >>> from minicnn import models
    >>> model = models.create("lenet5", form="paper")
    >>> sum(p.size for p in model.parameters())
    60000
    """
    architecture = ARCHITECTURES[_known("create: name", name, ARCHITECTURES)]
    if form is not None:
        _known(f"create: form of {name}", form, architecture.forms)
    for option in options:
        _known(f"create: option of {name}", option, architecture.options)
    if weights is not None:
        return _with_weights(name, form, weights, strict, options)
    model: Any = architecture.build(architecture.default if form is None else form, **options)
    model.name = name
    model.config = {
        "name": name, "form": model.form.name, **{option: getattr(model, option) for option in architecture.options}
    }  # fmt: skip
    model.classes = class_names(model.form.classes, model.num_classes)
    built: Module = model
    return built


def load(path: Any) -> Module:
    """Build the network whose weights are in a file that ``minicnn convert`` has written.

    Parameters
    ----------
    path : path

    Raises
    ------
    LoadError
        If the file is damaged, or does not say of which network it is.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn.models import pretrained
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/their.npz", **create("lenet5", num_classes=3).state_dict())
    ...     _ = pretrained.convert(f"{folder}/their.npz", "lenet5", f"{folder}/our.safetensors")
    ...     model = load(f"{folder}/our.safetensors")
    >>> model.name, model.num_classes
    ('lenet5', 3)
    """
    from minicnn.models import pretrained

    source = pretrained.opened(path)
    return create(pretrained.model_of(source), weights=source)


def _with_weights(name: str, form: str | None, weights: Any, strict: bool, options: dict[str, Any]) -> Module:
    from minicnn.models import pretrained

    source = pretrained.opened(weights)
    found = pretrained.recognise(name, source, form)
    model: Any = pretrained.build(name, source, found, **options)
    if not strict:  # what is left as it starts must be drawn
        model = create(**model.config)
    pretrained.load(model, source, strict=strict)
    model.classes = pretrained.classes(source, model)
    built: Module = model
    return built


def known(name: str) -> str:
    """Return the name of a network, if it is one.

    Raises
    ------
    OptionError
        If there is none of this name; the message gives the nearest that there is.
    """
    if name not in ARCHITECTURES:
        raise OptionError(f"{name!r} is no network{nearest(name, ARCHITECTURES)} (`minicnn models` lists all)")
    return name


def _known(what: str, value: Any, names: Any) -> Any:
    if value not in builtins.list(names):
        known = ", ".join(map(repr, names))
        raise OptionError(f"{what} must be one of {known}, got {value!r}{nearest(value, names)}")
    return value
