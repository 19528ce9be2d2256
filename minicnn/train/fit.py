"""The training loop.

A step is: preprocess, forward, loss, backward, update. Around it stands what makes a long run safe: it can be
stopped between any two steps and goes on from there bit for bit, it never saves numbers that are not finite, and
it says which layer broke.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from minicnn import functional, random
from minicnn.autograd import Array, no_grad
from minicnn.data import Loader
from minicnn.errors import NotFiniteError, OptionError
from minicnn.nn import Module
from minicnn.train.callback import Callback, Run
from minicnn.train.checkpoint import Checkpoint
from minicnn.train.diagnosis import first_not_finite, parameters_not_finite, parameters_without_gradient
from minicnn.train.history import History, Row
from minicnn.train.interrupt import Interrupted, Interruption
from minicnn.train.metrics import accuracy
from minicnn.train.optimizer import Loss, Optimizer
from minicnn.train.progress import ProgressBar
from minicnn.train.run_folder import RunFolder, holds_checkpoint
from minicnn.train.schedules import Schedule

Preprocess = Callable[[Array], Array]


class Evaluation(TypedDict):
    """What ``evaluate`` returns."""

    loss: float
    accuracy: float
    labels: Array
    predicted: Array


def fit(
    model: Module,
    data: Loader,
    *,
    optimizer: Optimizer,
    epochs: int,
    loss: Loss | None = None,
    preprocess: Preprocess | None = None,
    schedule: Schedule | None = None,
    validation: Loader | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path | None = None,
    resume: bool = False,
    save_every: int | None = None,
    progress: bool = True,
) -> History:
    """Train a network.

    Parameters
    ----------
    model : Module
        From ``models.create``, or one of your own: without a ``form`` it gets the images as they are, its
        outputs are logits, and the loss is cross entropy.
    data : Loader
        Batches of images and labels; its seed decides their order.
    optimizer : Optimizer
    epochs : int
        How often to go through the data, those before a resumption included.
    loss : function, optional
        ``(outputs, labels) -> Tensor`` of one number, the mean over the batch; by default that of the model's form.
    preprocess : function, optional
        From the images of a batch to what the network wants; by default that of the model's form. Photos that a
        ``transform`` has cut out already want ``form.preprocess.normalise``.
    schedule : function, optional
        From progress in epochs (2.5: in the middle of the third) to a factor on the learning rate.
    validation : Loader, optional
        Evaluated after each epoch.
    callbacks : sequence of Callback
    out : path, optional
        The run's folder. A checkpoint is saved there at the start, after each epoch, and when stopped.
    resume : bool
        Go on from the last checkpoint in ``out``, if there is one: model, optimiser, random numbers, place in
        the epoch, history. The result is bit for bit that of a run that was never stopped.
    save_every : int, optional
        Save also after so many steps of an epoch.
    progress : bool
        Show a bar for each epoch.

    Returns
    -------
    History
        A row for each epoch.

    Raises
    ------
    NotFiniteError
        If the loss or a weight became NaN or infinite; names the first layer. The last checkpoint is sound.
    Interrupted
        On Ctrl-C or SIGTERM, after the step is finished and saved. The second Ctrl-C stops at once.
    SaveError
        If ``out`` cannot be written or belongs to another run; an earlier checkpoint survives.
    LoadError
        If the checkpoints in ``out`` are corrupt, or a newer minicnn's.
    StateError
        If the checkpoint is of another network or optimiser.
    OptionError
        If ``out`` holds a run and ``resume`` is False, there are no images, or a number is out of its range.

    Examples
    --------
    >>> from minicnn import data, models, train
    >>> digits, held_out = data.load_digits()
    >>> model = models.create("lenet5")
    >>> history = train.fit(
    ...     model,
    ...     data.Loader(digits, 64, shuffle=True),
    ...     optimizer=train.SGD(model.parameters(), lr=0.05, momentum=0.9),
    ...     epochs=2,
    ...     progress=False,
    ... )
    >>> train.evaluate(model, data.Loader(held_out, 256))["accuracy"] > 0.8
    True
    """
    for name, value in (("epochs", epochs), ("save_every", 1 if save_every is None else save_every)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"fit: {name} must be an integer >= 1, got {value!r}")
    for name, loader in (("data", data), ("validation", validation)):
        if loader is not None and len(loader) == 0:
            raise OptionError(f"fit: {name} must hold at least one image, got an empty data set")
    task = _Task(model, loss, preprocess)
    run = Run(model, optimizer, data, epochs)
    settings = _settings(run, schedule)
    watchers = [*([ProgressBar()] if progress else []), *callbacks]
    with ExitStack() as stack:
        folder = stack.enter_context(RunFolder(out)) if out is not None else None
        if folder is not None:
            _start_or_resume(run, folder, settings, resume)
        asked = stack.enter_context(Interruption())
        stack.enter_context(np.errstate(all="ignore"))  # what is not finite is reported by us
        for watcher in watchers:
            stack.callback(watcher.on_end, run)

        def save() -> None:
            if bad := parameters_not_finite(model):
                raise NotFiniteError(f"fit: {', '.join(bad)} became NaN or infinite {_place(run, folder)}")
            if folder is not None:
                folder.save(_checkpoint(run, settings))

        def stop_if_asked() -> None:
            if asked.signal is not None:
                save()
                where = "" if folder is None else f", saved in {folder.path}"
                raise Interrupted(f"{asked.signal.name} {_place(run, None)}{where}", asked.signal, run.history)

        while run.epoch < epochs and not run.stop:
            stop_if_asked()
            clock = time.perf_counter() - run.seconds
            if optimizer.samples and run.batch == 0:
                images, labels = _sample(data, run.epoch, optimizer.samples)
                optimizer.start_epoch(model, task.preprocess(images), labels, task.loss)
            for watcher in watchers:
                watcher.on_epoch_start(run)
            if run.stop:  # a run that had stopped by itself was resumed
                break  # type: ignore[unreachable]
            model.train()
            for images, labels in data.batches(run.epoch, start=run.batch):
                if schedule is not None:
                    optimizer.factor = float(schedule(run.epoch + run.batch / len(data)))
                _step(run, task, images, labels, folder)
                run.seconds = time.perf_counter() - clock
                for watcher in watchers:
                    watcher.on_step(run)
                stop_if_asked()
                if save_every is not None and run.batch % save_every == 0:
                    save()
            _finish_epoch(run, evaluate(model, validation, loss, preprocess) if validation is not None else None)
            save()
            for watcher in watchers:
                watcher.on_epoch_end(run)
    return run.history


def evaluate(model: Module, data: Loader, loss: Loss | None = None, preprocess: Preprocess | None = None) -> Evaluation:
    """Let the network answer, in evaluation mode and without learning.

    Parameters
    ----------
    model : Module
    data : Loader
    loss, preprocess : function, optional
        By default those of the model's form.

    Returns
    -------
    dict
        ``loss`` and ``accuracy``, means over all images (NaN without images), and the arrays ``labels`` and
        ``predicted``, in the order of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import data, nn, train
    >>> images, labels = np.eye(3, dtype=np.float32), [0, 1, 1]
    >>> result = train.evaluate(nn.Identity(), data.Loader(data.ArrayDataset(images, labels)))
    >>> result["predicted"], round(result["accuracy"], 3)
    (array([0, 1, 2]), 0.667)
    """
    task = _Task(model, loss, preprocess)
    losses = 0.0
    answers: list[tuple[Array, Array]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    with model.inference(), no_grad():
        for images, labels in data.batches(0):
            outputs = model(task.preprocess(images))
            losses += float(task.loss(outputs, labels)) * len(labels)
            answers.append((labels, task.predict(outputs)))
    labels, predicted = (np.concatenate(column) for column in zip(*answers, strict=True))
    return {
        "loss": losses / len(labels) if len(labels) else float("nan"),
        "accuracy": accuracy(labels, predicted),
        "labels": labels,
        "predicted": predicted,
    }


class _Task:
    """What stands before and after the network: its form's functions, or plain ones."""

    def __init__(self, model: Module, loss: Loss | None, preprocess: Preprocess | None) -> None:
        form = getattr(model, "form", None)
        self.preprocess: Preprocess = preprocess or (form.preprocess if form else lambda images: images)
        self.predict: Callable[[Any], Array] = form.predict if form else lambda outputs: np.argmax(outputs, axis=1)
        self.loss: Loss = loss or (form.loss if form else functional.cross_entropy)


def _step(run: Run, task: _Task, images: Array, labels: Array, folder: RunFolder | None) -> None:
    before = random.get_state()
    inputs = task.preprocess(images)
    run.optimizer.zero_grad()
    outputs = run.model(inputs)
    loss = task.loss(outputs, labels)
    if not np.isfinite(float(loss)):
        random.set_state(before)  # the same dropout once more
        raise NotFiniteError(
            f"fit: the loss became {float(loss)} {_place(run, folder)}: {first_not_finite(run.model, inputs)}"
        )
    loss.backward()
    if run.batch == 0 and (dead := parameters_without_gradient(run.model)):
        warnings.warn(
            f"fit: no gradient reaches {', '.join(dead)} {_place(run, None)}: units that are off for every image, or "
            "a layer that the loss does not depend on",
            stacklevel=3,
        )
    run.optimizer.step()
    run.batch += 1
    run.seen += len(labels)
    likeliest = labels if labels.ndim == 1 else labels.argmax(axis=1)  # of labels that a mixup has made
    run.correct += int(np.sum(task.predict(outputs) == likeliest))
    run.loss_sum += float(loss) * len(labels)


def _sample(data: Loader, epoch: int, count: int) -> tuple[Array, Array]:
    """Choose images by seed and epoch, without their order in the epoch having a part in it."""
    rng = np.random.default_rng([data.seed, epoch, count])
    return data.dataset[rng.permutation(len(data.dataset))[:count]]


def _finish_epoch(run: Run, result: Evaluation | None) -> None:
    run.epoch += 1
    run.history.rows.append(
        Row(
            epoch=run.epoch,
            train_loss=run.loss,
            train_accuracy=run.accuracy,
            validation_loss=result["loss"] if result else None,
            validation_accuracy=result["accuracy"] if result else None,
            lr=run.lr,
            seconds=run.seconds,
        )
    )
    run.batch = run.seen = run.correct = 0
    run.loss_sum = run.seconds = 0.0


def _place(run: Run, folder: RunFolder | None) -> str:
    saved = f"; the last good checkpoint is in {folder.path}" if folder else ""
    return f"in epoch {run.epoch + 1} after step {run.batch} of {len(run.data)} (lr {run.lr:.6g}{saved})"


# ------------------------------------------------------------------------------- the state of a run


PLACE = ("epoch", "batch", "seen", "correct", "loss_sum", "seconds")  # of Run: where it stands


def _settings(run: Run, schedule: Schedule | None) -> dict[str, Any]:
    """What must stay the same for a resumed run to be the same run, as JSON."""
    settings = {
        "model": getattr(run.model, "config", None),
        "optimizer": run.optimizer.config,
        "schedule": _in_words(schedule),
        "images": len(run.data.dataset),
        "batch_size": run.data.batch_size,
        "shuffle": run.data.shuffle,
        "seed": run.data.seed,
        "transform": _in_words(run.data.transform),
        "mix": _in_words(run.data.mix),
        "balanced": run.data.balanced,
    }
    normal: dict[str, Any] = json.loads(json.dumps(settings))
    return normal


def _in_words(function: object) -> str:
    """A description that is the same in every process, which repr of a plain function is not."""
    return str(getattr(function, "__qualname__", repr(function)))


def _checkpoint(run: Run, settings: dict[str, Any]) -> Checkpoint:
    facts = {
        "settings": settings,
        "random": random.get_state(),
        "history": [asdict(row) for row in run.history],
        "place": {name: getattr(run, name) for name in PLACE},
    }
    return Checkpoint(run.model.state_dict(), run.optimizer.state_dict(), facts)


def _start_or_resume(run: Run, folder: RunFolder, settings: dict[str, Any], resume: bool) -> None:
    if not holds_checkpoint(folder.path):
        folder.save(_checkpoint(run, settings))  # whether the disk lets us, we want to know now
        return
    if not resume:
        raise OptionError(f"fit: {folder.path} holds a run already; give resume=True to go on with it, or another out")
    checkpoint = folder.resume()
    facts = checkpoint.facts
    run.optimizer.load_state_dict(checkpoint.optimizer)
    run.model.load_state_dict(checkpoint.model)
    random.set_state(facts["random"])
    run.history.rows[:] = [Row(**row) for row in facts["history"]]
    for name in PLACE:
        setattr(run, name, facts["place"][name])
    for name, value in facts["settings"].items():
        if settings.get(name) != value:
            warnings.warn(f"fit: resumed with {name}={settings[name]}, the run had {value}", stacklevel=3)
