"""What ``minicnn transfer`` does, from the plan to the report.

The steps, in the order of ``run_plan``: read the data, load and freeze the network, compute the features, train the
head, train the last stages if asked, test, cross-validate if asked, train from scratch if asked, write the report.
Each step that takes long keeps what it has in the run's folder: a run that was killed goes on from there, to the same
bits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models, nn, random
from minicnn.autograd import Array
from minicnn.data import folders, near_duplicates
from minicnn.data.dataset import Dataset
from minicnn.data.folders import Parts
from minicnn.errors import OptionError, import_extra
from minicnn.files import make_folder, write_json
from minicnn.inspect.pictures import draw_curves
from minicnn.train import AdamW, History, schedules
from minicnn.train.evaluation import measure
from minicnn.train.memory import check_memory
from minicnn.train.progress import counting
from minicnn.transfer.features import Views, cache_folder, features
from minicnn.transfer.folds import Pair, Tell, cross_validate, divide
from minicnn.transfer.freezing import digest, freeze, frozen_hashes, unfreeze
from minicnn.transfer.head import with_head
from minicnn.transfer.learning import (
    PartsOf,
    fine_tune,
    head_logits,
    load_base,
    logits_of,
    probabilities,
    train_head,
    train_network,
    tuning,
)
from minicnn.transfer.plan import Plan
from minicnn.transfer.run import draw_test, name_of, save_network
from minicnn.weights.source import sha256

REPORT, FOLDS = "report.json", "folds.json"
SCRATCH_LR = 0.003  # of AdamW: with the same as the head's a network learns from nothing, with ten times it does not
SHOWN = 10  # notes
ENOUGH = 0.8  # the accuracy up to which epochs are counted


def run_plan(
    plan: Plan, out: str | Path, *, resume: bool = False, progress: bool = True, tell: Tell = lambda message: None
) -> dict[str, Any]:
    """Do a transfer, and leave in the folder: report.json, the network, its pictures, config.json.

    Parameters
    ----------
    plan : Plan
    out : path
        The run's folder, made if need be.
    resume : bool
        Go on with the run that is in the folder.
    progress : bool
        Show bars: of the features, and of each epoch of what takes long.
    tell : function
        Is told what begins, and what was noticed.

    Returns
    -------
    dict
        What is written to report.json.

    Raises
    ------
    OptionError
        If the folder holds a run already and ``resume`` is False, or a choice does not suit the data.
    LoadError
        If the data or the weights cannot be used.
    SaveError
        If the folder cannot be written.
    """
    out = Path(out)
    for module in ("matplotlib", "sklearn", "PIL"):
        import_extra(module, "the report of a transfer")  # which is wanted at the end: rather know it now
    clock = _Clock()
    if (out / "head").exists() and not resume:
        raise OptionError(f"{out} holds a run already: go on with it (--resume), or choose another folder (--out)")
    parts, pairs = _read(plan, tell)
    base = load_base(plan)
    classes = len(parts.classes)
    _check(plan, base, parts.training.labels, classes)
    make_folder(out)
    plan.write(out)

    tell(f"{base.name} ({base.form.name}): features of {len(parts.training)} + {len(parts.validation)} images")
    see, seed = base.form.preprocess, plan.seed
    views = Views(see, plan.tested, PartsOf(see), plan.head.views)
    tested = Views(see, plan.tested)
    images = len(parts.training)
    with clock("features"), counting("Features", images + len(parts.validation), "image", shown=progress) as done:
        learnt = features(base, parts.training, views, seed=seed, folder=cache_folder(), tell=done)
        held_out = features(
            base, parts.validation, tested, seed=seed, folder=cache_folder(), tell=lambda count: done(images + count)
        )
    before = frozen_hashes(base)
    tell(f"The head: {plan.head.epochs} epochs")
    with clock("head"):
        head, history = train_head(
            plan.head, learnt, parts.training.labels, classes, seed=seed, balanced=plan.balanced, out=out / "head",
            resume=resume, validation=(held_out[:, 0], parts.validation.labels),
        )  # fmt: skip
    frozen = {"head": _compared(before, frozen_hashes(base))}
    said = head_logits(head, held_out)
    report: dict[str, Any] = {"head": _of_phase(history, said, parts)}
    model: Any = None
    if plan.fine_tune is not None:
        tell(f"The network from {plan.fine_tune.since} on: {plan.fine_tune.epochs} epochs")
        with clock("fine_tune"):
            model, tuned, best = fine_tune(
                plan, plan.fine_tune, base, head, parts.training, classes=classes, seed=seed + 1,
                out=out / "fine_tune", validation=parts.validation, resume=resume, progress=progress,
            )  # fmt: skip
            said = logits_of(model, parts.validation, plan.tested)
        after = frozen_hashes(model)
        frozen["fine_tune"] = _compared({stage: before[stage] for stage in after}, after)
        report["fine_tune"] = {**_of_phase(tuned, said, parts), "weights_of_epoch": best}
        history = History([*history, *(replace(row, epoch=row.epoch + len(history)) for row in tuned)])
    network = with_head(base, head) if model is None else model
    save_network(plan, network, parts.classes, out)
    found = measure(parts.validation.labels, probabilities(said), parts.classes, seed=seed)
    if plan.folds:
        with clock("folds"):
            report["folds"] = cross_validate(plan, parts, learnt, pairs, out / FOLDS, tell)
    if plan.from_scratch:
        tell(f"From scratch: {_epochs(plan)} epochs")
        with clock("from_scratch"):
            report["from_scratch"] = _from_scratch(plan, parts, out, resume, progress)
    with clock("pictures"):
        draw_test(found, probabilities(said), parts.validation, parts.classes, out)
        draw_curves(history, out / "curves.png", title=f"{base.name} on {Path(plan.data).name}")
    report = {
        "minicnn": metadata.version("minicnn"),
        "model": plan.model,
        "weights": {"file": plan.weights, "sha256": sha256(plan.weights)},
        "data": _of_data(plan, parts),
        "val": found.as_dict(),
        **report,
        "frozen": frozen,
        "network": digest(network),
        "seconds": clock.seconds,
    }
    write_json(out / REPORT, report)
    return report


def _check(plan: Plan, base: Any, labels: Array, classes: int) -> None:
    """Find out now what would fail after all features are computed, by doing it for nothing."""
    numbers = np.arange(classes)
    with warnings.catch_warnings(action="ignore"):  # such as of dropout that leaves nothing: it is of numbers for show
        train_head(replace(plan.head, epochs=1), numbers[:, None, None].astype(np.float32), numbers, classes, seed=0)
    if plan.folds:
        divide(labels, plan.folds, plan.seed)
    if plan.fine_tune is not None:
        unfreeze(base, since=plan.fine_tune.since)
        tuning(base, plan.fine_tune)
        check_memory(base, plan.fine_tune.batch_size)
        freeze(base)
    if plan.from_scratch:
        with nn.init.using(nn.init.zeros):
            check_memory(_new_network(plan, classes), plan.head.batch_size)


class _Clock:
    """Seconds of each step, of this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start = time.perf_counter()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        now = time.perf_counter()
        self.seconds |= {step: round(now - begin, 3), "total": round(now - self.start, 3)}


# ------------------------------------------------------------------------------- data


def _read(plan: Plan, tell: Tell) -> tuple[Parts, list[Pair]]:
    """Read the data, and find the images that look alike, by their rows in the two parts taken together."""
    parts = folders.readable(
        folders.open_folder(plan.data, validation=plan.validation, seed=plan.seed), skip=plan.skip_unreadable
    )
    first = len(parts.training)
    images = (part[row][0] for part in (parts.training, parts.validation) for row in range(len(part)))
    pairs = near_duplicates(images)
    for i, j in pairs:
        if i < first <= j:
            shown, learnt = name_of(parts.validation, j - first), name_of(parts.training, i)
            parts.notes.append(f"{shown} of the validation part looks like {learnt}, which is learnt from")
    if absent := [name for name, count in _counts(parts.training, parts.classes).items() if count == 0]:
        parts.notes.append(f"the training part has no image of {', '.join(absent)}, which thus cannot be learnt")
    for note in parts.notes[:SHOWN]:
        tell(f"note: {note}")
    if (more := len(parts.notes) - SHOWN) > 0:
        tell(f"note: and {more} more, see {REPORT}")
    return parts, [(i, j) for i, j in pairs if j < first]


def _of_data(plan: Plan, parts: Parts) -> dict[str, Any]:
    return {
        "path": plan.data,
        "divided_by_us": not parts.divided,
        "training": _counts(parts.training, parts.classes),
        "validation": _counts(parts.validation, parts.classes),
        "notes": parts.notes,
    }


def _counts(part: Dataset, classes: Sequence[str]) -> dict[str, int]:
    return {name: int((part.labels == label).sum()) for label, name in enumerate(classes)}


# ------------------------------------------------------------------------------- figures


def _compared(before: dict[str, str], after: dict[str, str]) -> dict[str, Any]:
    return {"before": before, "after": after, "equal": before == after}


def _of_phase(history: History, said: Array, parts: Parts) -> dict[str, Any]:
    right = probabilities(said).argmax(axis=1) == parts.validation.labels
    return {
        "accuracy": float(right.mean()),
        "epochs": len(history),
        "epochs_to_80_percent": _reached(history),
        "train_loss": history[-1].train_loss,
    }


def _reached(history: History) -> int | None:
    return next((row.epoch for row in history if (row.validation_accuracy or 0) >= ENOUGH), None)


def _epochs(plan: Plan) -> int:
    return plan.head.epochs + (plan.fine_tune.epochs if plan.fine_tune else 0)


def _from_scratch(plan: Plan, parts: Parts, out: Path, resume: bool, progress: bool) -> dict[str, Any]:
    """Train the same network from new weights, for as many epochs as the transfer had."""
    random.manual_seed(plan.seed)
    model = _new_network(plan, len(parts.classes))
    for module in model.modules():  # Keras' 0.01 needs a thousand steps to forget where it began: few photos have
        if isinstance(module, nn.BatchNorm2d):  # a few hundred
            module.momentum = max(module.momentum, 0.1)
    begin = time.perf_counter()
    epochs = _epochs(plan)
    history = train_network(
        model, parts.training, epochs=epochs, batch_size=plan.head.batch_size,
        optimizer=AdamW(model.parameters(), lr=SCRATCH_LR), schedule=schedules.Warmup(1.0, schedules.Cosine(epochs)),
        seed=plan.seed, balanced=plan.balanced, validation=parts.validation, out=out / "from_scratch", resume=resume,
        progress=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    return {**_of_phase(history, logits_of(model, parts.validation, plan.tested), parts), "seconds": round(seconds, 3)}


def _new_network(plan: Plan, classes: int) -> Any:
    options = {key: value for key, value in plan.model.items() if key not in ("include_top", "pooling")}
    return models.create(**options, num_classes=classes)
