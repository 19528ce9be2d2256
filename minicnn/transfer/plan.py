"""The choices of a transfer: what decides its result, as it stands in a run's config.json."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from minicnn import models
from minicnn.errors import OptionError
from minicnn.files import write_json
from minicnn.models import pretrained
from minicnn.train.run_folder import CONFIG, read_config

KIND = "transfer"


@dataclass(frozen=True)
class Head:
    """How the head learns while everything else is frozen.

    Attributes
    ----------
    epochs, batch_size : int
    views : int
        Augmented views of each photo, of which an epoch sees one; beside the photo itself and its mirror image.
    dropout : float
    lr, weight_decay : float
        Of AdamW; the rate falls along half a cosine.
    smoothing : float
        The share of each label that is spread over all classes.
    """

    epochs: int = 60
    batch_size: int = 32
    views: int = 16
    dropout: float = 0.5
    lr: float = 0.003
    weight_decay: float = 0.1
    smoothing: float = 0.0


@dataclass(frozen=True)
class FineTune:
    """How the last stages learn after the head.

    Attributes
    ----------
    since : str
        The first stage that learns.
    epochs, batch_size : int
    lr : float
        Of the head; SGD with momentum 0.9, the rate falls along half a cosine.
    decay : float
        What each stage's rate is of that of the stage after it.
    warmup : float
        Epochs in which the rate rises from 0.
    weight_decay, smoothing : float
    mix : {"mixup", "cutmix"}, optional
    patience : int, optional
        Stop after so many epochs without a lower loss on a tenth of the training photos, which is held out for it, and
        take the best weights. None: all epochs, the last weights.
    """

    since: str
    epochs: int = 10
    batch_size: int = 32
    lr: float = 0.001
    decay: float = 0.7
    warmup: float = 1.0
    weight_decay: float = 1e-4
    smoothing: float = 0.0
    mix: str | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that decides the result of a transfer.

    Attributes
    ----------
    model : dict
        Of ``models.create``: name, form, and what the file of weights asks for.
    weights : str
        The file.
    data : str
        What ``data.open_folder`` opens.
    validation : float
        The share that is held out, if the data are not divided.
    tested : {1, 2, 10}
        In how many views each photo is tested, see ``Views``.
    seed : int
    head : Head
    fine_tune : FineTune, optional
    folds : int
        0, or how many folds of a cross-validation on the training part follow.
    from_scratch : bool
        Whether the same network is trained from new weights, for comparison.
    skip_unreadable, balanced : bool
    """

    model: dict[str, Any]
    weights: str
    data: str
    validation: float = 0.2
    tested: int = 2
    seed: int = 0
    head: Head = field(default_factory=Head)
    fine_tune: FineTune | None = None
    folds: int = 0
    from_scratch: bool = False
    skip_unreadable: bool = False
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.folds and self.folds < 2:
            raise OptionError(f"--folds must be 2 or more, got {self.folds}")
        if self.fine_tune is not None and self.fine_tune.mix not in (None, "mixup", "cutmix"):
            raise OptionError(f"--mix must be 'mixup' or 'cutmix', got {self.fine_tune.mix!r}")

    def write(self, folder: Path) -> None:
        """Write config.json."""
        write_json(folder / CONFIG, {"kind": KIND, **asdict(self)})


def make_plan(
    name: str, weights: str | Path, data: str | Path, *, form: str | None = None, width: float | None = None,
    size: int | None = None, **choices: Any,
) -> Plan:  # fmt: skip
    """Look into the file of weights for what the network needs, and fill a plan.

    Parameters
    ----------
    name : str
        Of the network, as in ``models.create``.
    weights, data : path
    form, width, size : optional
        If they are not to be found out from the file, or not the form's own.
    **choices
        Attributes of ``Plan``.

    Raises
    ------
    OptionError
        If a choice is out of its range, or the network takes no photos.
    LoadError
        If the file is damaged, or is of another network.
    """
    source = pretrained.opened(weights)
    found = pretrained.recognise(models.known(name), source, form)
    given = {key: value for key, value in (("width", width), ("size", size)) if value is not None}
    kept = {key: value for key, value in found.options.items() if key not in ("num_classes", "include_top", "aux")}
    options = {**kept, **given, "include_top": False, "pooling": "avg"}
    network = pretrained.build(name, source, found, **options)
    if not hasattr(network.form.preprocess, "normalise"):
        raise OptionError(f"{name} ({found.form}) sees scans of digits, not photos: choose another network or form")
    model = {"name": name, "form": found.form, **options}
    return Plan(model=model, weights=os.path.abspath(weights), data=os.path.abspath(data), **choices)


def load_plan(folder: str | Path) -> Plan:
    """Read the plan of a transfer.

    Raises
    ------
    LoadError
        If the folder holds none, or it is damaged.
    """
    with read_config(folder, "the plan of a transfer") as facts:
        if facts.pop("kind", None) != KIND:
            raise ValueError("it is no run of `minicnn transfer`")
        head, tuned = Head(**facts.pop("head")), facts.pop("fine_tune")
        plan = Plan(**facts, head=head, fine_tune=None if tuned is None else FineTune(**tuned))
    return plan
