"""The two steps of a transfer: the head learns on features that were computed once, then the last stages learn too.

The same two functions serve a run with a folder of its own, which can be stopped and goes on bit for bit, and the
folds of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

from minicnn import models, nn, random
from minicnn.autograd import Array, no_grad
from minicnn.data import ArrayDataset, Loader, augmentation
from minicnn.data.augmentation.image import Image
from minicnn.data.dataset import Dataset
from minicnn.data.loader import Mix
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import OptionError, ShapeError, import_extra
from minicnn.functional import check, cross_entropy
from minicnn.nn import Module
from minicnn.train import SGD, AdamW, Callback, History, KeepBest, Optimizer, fit, schedules
from minicnn.train.schedules import Schedule
from minicnn.transfer.features import Views, features, one_view
from minicnn.transfer.freezing import freeze, trainable, unfreeze
from minicnn.transfer.head import linear_head, with_head
from minicnn.transfer.plan import FineTune, Head, Plan

HELD_OUT = 0.1  # of the training photos, to find the best epoch
MIXES: dict[str, Any] = {"mixup": augmentation.Mixup, "cutmix": augmentation.CutMix}
WORKERS = 2


def load_base(plan: Plan) -> Any:
    """Build the network without its top, with its weights, frozen."""
    base = models.create(**plan.model, weights=plan.weights)
    freeze(base)
    return base


@dataclass(frozen=True)
class PartsOf:
    """What training does to a photo for a network: a part of it of random size and shape, maybe mirrored.

    Attributes
    ----------
    see : Preprocessing
        Of the network.
    """

    see: Preprocessing

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Return such a part, (channels, size, size)."""
        cut = augmentation.RandomResizedCrop(self.see.size, (0.5, 1.0), interpolation=self.see.interpolation, flip=0.5)
        return cut(self.see.coloured(image), rng)


def train_head(
    choice: Head,
    made: Array,
    labels: ArrayLike,
    classes: int,
    *,
    seed: int,
    balanced: bool = False,
    validation: tuple[Array, ArrayLike] | None = None,
    out: Path | None = None,
    resume: bool = False,
) -> tuple[nn.Sequential, History]:
    """Train a new head on features (N, V, F), of each image one view in each epoch.

    Returns
    -------
    (Sequential, History)
        The head and its epochs; ``validation`` (features of its images' first view, labels) is evaluated after each.
    """
    random.manual_seed(seed)
    head = linear_head(made.shape[2], classes, dropout=choice.dropout)
    head["scale"].measure(made)
    data = Loader(
        ArrayDataset(made, labels), choice.batch_size, shuffle=True, seed=seed, transform=one_view,
        balanced=balanced,
    )  # fmt: skip
    history = fit(
        head,
        data,
        optimizer=AdamW(head.parameters(), lr=choice.lr, weight_decay=choice.weight_decay),
        epochs=choice.epochs,
        loss=partial(cross_entropy, label_smoothing=choice.smoothing),
        schedule=schedules.Cosine(choice.epochs),
        validation=None if validation is None else Loader(ArrayDataset(*validation), 256),
        out=out,
        resume=resume,
        progress=False,
    )
    return head, history


def fine_tune(
    plan: Plan,
    choice: FineTune,
    base: Any,
    head: Module,
    images: Dataset,
    *,
    classes: int,
    seed: int,
    out: Path,
    validation: Dataset | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[Any, History, int]:
    """Train the last stages together with the head; the earlier a stage, the smaller its rate.

    Returns
    -------
    (Module, History, int)
        ``base`` with ``head``, both changed; its epochs, and that whose weights it has.
    """
    random.manual_seed(seed)
    model: Any = with_head(base, head)
    unfreeze(model, since=choice.since)
    best = None
    if choice.patience is not None:
        images, validation = _held_out(images, seed)
        best = KeepBest(out / "best.safetensors", choice.patience)
    optimizer, schedule = tuning(model, choice)
    history = train_network(
        model, images, epochs=choice.epochs, batch_size=choice.batch_size, optimizer=optimizer, schedule=schedule,
        smoothing=choice.smoothing,
        mix=MIXES[choice.mix](classes=classes) if choice.mix else None, seed=seed, balanced=plan.balanced,
        validation=validation, out=out, resume=resume, progress=progress, callbacks=[best] if best else [],
    )  # fmt: skip
    return model, history, best.restore(model) if best else len(history)


def tuning(model: Module, choice: FineTune) -> tuple[Optimizer, Schedule]:
    """Make the optimiser and the schedule of fine-tuning for what is not frozen."""
    fall = schedules.Cosine(choice.epochs)
    return (
        SGD(rates(model, choice.lr, choice.decay), lr=choice.lr, momentum=0.9, weight_decay=choice.weight_decay),
        schedules.Warmup(choice.warmup, fall) if choice.warmup else fall,
    )


def train_network(
    model: Any, images: Dataset, *, epochs: int, batch_size: int, optimizer: Optimizer, schedule: Schedule, seed: int,
    out: Path, smoothing: float = 0.0, mix: Mix | None = None, balanced: bool = False,
    validation: Dataset | None = None, resume: bool = False, progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History:  # fmt: skip
    """Train a network on photos, each augmented anew in each epoch."""
    see = model.form.preprocess
    batches = Loader(
        images, batch_size, shuffle=True, seed=seed, transform=PartsOf(see), mix=mix, balanced=balanced,
        workers=WORKERS,
    )  # fmt: skip
    held_out = None if validation is None else Loader(validation, batch_size, transform=see.cut, workers=WORKERS)
    return fit(
        model, batches, optimizer=optimizer, epochs=epochs, preprocess=see.normalise, schedule=schedule,
        loss=partial(cross_entropy, label_smoothing=smoothing), validation=held_out, out=out, resume=resume,
        progress=progress, callbacks=callbacks,
    )  # fmt: skip


def rates(model: Module, lr: float, decay: float = 0.7) -> list[dict[str, Any]]:
    """Group the parameters that are not frozen by stage, each with its own rate, as an optimiser takes them.

    Parameters
    ----------
    model : Module
    lr : float
        Of the last stage.
    decay : float
        What each stage's rate is of that of the stage after it (Howard and Ruder 2018, section 3.2, have 1 / 2.6).

    Raises
    ------
    OptionError
        If one is not > 0 and finite.

    Examples
    --------
    >>> from minicnn.transfer import freeze
    >>> model = models.create("lenet5")
    >>> _ = freeze(model, until="C3")
    >>> [group["lr"] for group in rates(model, 0.1, 0.5)]
    [0.025, 0.05, 0.1]
    """
    for name, value in (("lr", lr), ("decay", decay)):
        if not check.number("rates", name, value) > 0:
            raise OptionError(f"rates: {name} must be > 0 and finite, got {value}")
    groups = []
    rate = lr
    for _, stage in reversed(list(model.named_children())):
        if parameters := trainable(stage):
            groups.append({"params": parameters, "lr": rate})
            rate *= decay
    return groups[::-1]


def probabilities(logits: Array) -> Array:
    """Average over the views of each image: logits (N, V, classes) -> probabilities (N, classes).

    Raises
    ------
    ShapeError
        If the logits have another number of axes.
    """
    if logits.ndim != 3:
        raise ShapeError(f"probabilities: logits must have shape (N, views, classes), got {logits.shape}")
    made: Array = softmax(logits.astype(np.float64), axis=-1).mean(axis=1)
    return made


def logits_of(model: Any, images: Dataset, tested: int = 2, tell: Callable[[int], None] = lambda done: None) -> Array:
    """Return what a whole network says of each image, in 1, 2 or 10 views (see ``Views``): (N, tested, classes)."""
    return features(model, images, Views(model.form.preprocess, tested), tell=tell)


def head_logits(head: Module, made: Array) -> Array:
    """Return what a head says of features, (N, V, F) -> (N, V, classes)."""
    with head.inference(), no_grad():
        said: Array = head(made.reshape(-1, *made.shape[2:])).numpy()
    return said.reshape(*made.shape[:2], -1)


def _held_out(images: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Take a share of each class away from the training part."""
    split = import_extra("sklearn.model_selection", "dividing data").train_test_split
    count = max(round(HELD_OUT * len(images)), len(np.unique(images.labels)))
    learnt, rest = split(np.arange(len(images)), test_size=count, stratify=images.labels, random_state=seed)
    return images.only(np.sort(learnt)), images.only(np.sort(rest))
