"""What `minicnn train` does: from a few choices to a trained network in a folder, and from the folder back.

The choices become a ``Plan``, which is written into the folder (config.json) before the first step: with it a run that
was stopped goes on, and `minicnn predict` knows what it looks at. What the user leaves open comes from the recipe of
the network's form, and where a data set wants something else, from ``DATASETS``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import data, models, nn, random
from minicnn.autograd import Array, no_grad
from minicnn.data.dataset import Dataset
from minicnn.data.loader import Transform
from minicnn.errors import OptionError, import_extra, nearest
from minicnn.files import make_folder, write_json
from minicnn.inspect.pictures import draw_confusion, draw_curves
from minicnn.train.callback import Callback, Run
from minicnn.train.fit import Evaluation, evaluate, fit
from minicnn.train.history import History
from minicnn.train.memory import check_memory
from minicnn.train.metrics import confusion_matrix
from minicnn.train.recipe import OPTIMIZERS, make_optimizer, make_schedule
from minicnn.train.run_folder import CONFIG, holds_checkpoint, load_checkpoint, read_config


@dataclass(frozen=True)
class DataSet:
    """A data set that the command knows: how to load it, and what its networks' recipes should have instead."""

    load: Callable[[str | None], tuple[data.ArrayDataset, data.ArrayDataset]]
    transform: Transform | None
    recipes: Mapping[str, Mapping[str, Any]]  # by form
    classes: int = 10


def _mnist(folder: str | None) -> tuple[data.ArrayDataset, data.ArrayDataset]:
    if folder is None:
        raise OptionError("--data mnist needs --data-dir DIR, the folder with the four idx files (.gz or not)")
    return data.load_mnist(folder)


DATASETS = {
    # 1,437 images are few: shifted ones beside them make a fifth of the errors, and small batches more steps.
    "digits": DataSet(
        lambda folder: data.load_digits(), data.augmentation.PadAndCrop(2), {"modern": {"batch_size": 32, "epochs": 20}}
    ),
    "mnist": DataSet(_mnist, None, {}),
}


@dataclass(frozen=True)
class Plan:
    """Everything that decides the result of a run, as it stands in config.json."""

    model: dict[str, Any]
    data: str
    data_dir: str | None
    epochs: int
    batch_size: int
    optimizer: dict[str, Any]
    schedule: dict[str, Any] | None
    seed: int


def make_plan(
    name: str,
    *,
    form: str | None = None,
    dataset: str = "digits",
    data_dir: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    optimizer: str | None = None,
    seed: int = 0,
    size: int | None = None,
    width: float | None = None,
    aux: bool | None = None,
) -> Plan:
    """Fill what is left open (None) from the recipe of the form and the data set.

    Another optimiser than the recipe's takes its own default options, a rate of 0.01 (SGD) or 0.001, and a cosine
    schedule. ``size`` and ``width`` are options of networks for photos: height and width of what they see, and the
    share of their maps; ``aux=False`` trains without the auxiliary heads that a recipe has.

    Raises
    ------
    OptionError
        If a name is unknown.

    Examples
    --------
    >>> make_plan("lenet5", epochs=3).epochs
    3
    """
    if dataset not in DATASETS:
        raise OptionError(f"--data must be one of {', '.join(DATASETS)}, got {dataset!r}{nearest(dataset, DATASETS)}")
    given: dict[str, Any] = {"size": size, "width": width, "aux": aux}
    options = {key: value for key, value in given.items() if value is not None}
    with nn.init.using(nn.init.zeros):
        network: Any = models.create(name, form=form, **options)
    chosen = network.form
    if network.num_classes != DATASETS[dataset].classes:
        options["num_classes"] = DATASETS[dataset].classes
    recipe = {**chosen.recipe(), **DATASETS[dataset].recipes.get(chosen.name, {})}
    epochs = recipe["epochs"] if epochs is None else epochs
    rule, schedule = dict(recipe["optimizer"]), recipe.get("schedule")
    if optimizer is not None and optimizer.lower() != rule["name"].lower():
        known = {kind.lower(): kind for kind in OPTIMIZERS}
        if optimizer.lower() not in known:
            names = ", ".join(OPTIMIZERS)
            raise OptionError(f"--optimizer must be one of {names}, got {optimizer!r}{nearest(optimizer, OPTIMIZERS)}")
        rule = {"name": known[optimizer.lower()]}
        rule |= {"lr": 0.01, "momentum": 0.9} if rule["name"] == "SGD" else {"lr": 0.001}
        schedule = {"name": "Cosine", "epochs": epochs}
    if lr is not None:
        rule["lr"] = lr
    return Plan(
        model={"name": name, "form": chosen.name, **recipe.get("model", {}), **options},
        data=dataset,
        data_dir=None if data_dir is None else os.path.abspath(data_dir),  # a run may be resumed from elsewhere
        epochs=epochs,
        batch_size=recipe["batch_size"] if batch_size is None else batch_size,
        optimizer=rule,
        schedule=stretched(schedule, epochs),
        seed=seed,
    )


def stretched(schedule: dict[str, Any] | None, epochs: int) -> dict[str, Any] | None:
    """Let a schedule that falls to its end in a number of epochs do so in this one."""
    return {**schedule, "epochs": epochs} if schedule is not None and "epochs" in schedule else schedule


class _Record(Callback):
    """Keep history.csv up to date, so that a run can be watched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, run: Run) -> None:
        """Write it anew."""
        run.history.write_csv(self.folder / "history.csv")


def run_plan(
    plan: Plan,
    out: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    started: Callable[[str], None] = lambda message: None,
) -> tuple[History, Evaluation, data.ArrayDataset]:
    """Train, test, and write the folder: checkpoint, config.json, history.csv, curves.png, confusion.png.

    Parameters
    ----------
    plan : Plan
    out : path
        The run's folder, made if need be.
    resume : bool
        Go on from the folder's checkpoint.
    progress : bool
        Show a bar for each epoch.
    started : function
        Is told what begins, once all choices are known to be sound.

    Returns
    -------
    (History, dict, ArrayDataset)
        The epochs, what ``evaluate`` finds on the test part, and the test part.

    Raises
    ------
    OptionError
        If the folder holds a run already and ``resume`` is False, or a choice is out of its range.
    """
    out = Path(out)
    for module in ("matplotlib", "sklearn"):
        import_extra(module, "the report of a run")  # which is wanted at the end: rather know it now
    if holds_checkpoint(out) and not resume:
        raise OptionError(f"{out} holds a run already: go on with it (--resume), or choose another folder (--out)")
    chosen = DATASETS[plan.data]
    training, test = chosen.load(plan.data_dir)
    random.manual_seed(plan.seed)
    model = models.create(**plan.model)
    check_memory(model, plan.batch_size)
    optimizer = make_optimizer(plan.optimizer, model.parameters())
    schedule = make_schedule(plan.schedule)
    batches = data.Loader(training, plan.batch_size, shuffle=True, seed=plan.seed, transform=chosen.transform)
    # So many images in a batch that a network for photos needs no more memory than in training.
    held_out = data.Loader(test, max(1, min(500, 500 * 32**2 // getattr(model, "size", 32) ** 2)))
    title = f"{plan.model['name']} ({plan.model['form']}) on {plan.data}"
    started(f"Training {title} into {out}")
    make_folder(out)
    write_json(out / CONFIG, asdict(plan))
    history = fit(
        model, batches, optimizer=optimizer, schedule=schedule, epochs=plan.epochs, validation=held_out, out=out,
        resume=resume, progress=progress, callbacks=[_Record(out)],
    )  # fmt: skip
    result = evaluate(model, held_out)
    classes = int(max(result["labels"].max(), result["predicted"].max())) + 1
    table = confusion_matrix(result["labels"], result["predicted"], classes)
    draw_curves(history, out / "curves.png", title=title)
    draw_confusion(table, [str(c) for c in range(classes)], out / "confusion.png")
    return history, result, test


def load_plan(folder: str | Path) -> Plan:
    """Read the plan of a run.

    Raises
    ------
    LoadError
        If the folder holds none, or it is damaged.
    """
    with read_config(folder, "a run's plan") as facts:
        plan = Plan(**facts)
        if plan.data not in DATASETS or not {"name", "form"} <= plan.model.keys() or "lr" not in plan.optimizer:
            raise ValueError("it was changed by hand, or by another version")
    return plan


class Reader:
    """A trained network that reads pictures of digits: ``Reader("runs/lenet5-1").read("seven.png")``.

    Attributes
    ----------
    model : Module
        In inference mode.
    classes : tuple of str

    Raises
    ------
    LoadError
        If the folder holds no run.
    """

    def __init__(self, folder: str | Path) -> None:
        plan = load_plan(folder)
        self.like = plan.data
        model: Any = models.create(**plan.model)
        model.load_state_dict(load_checkpoint(folder).model)
        self.model: Any = model.eval()
        self.classes: tuple[str, ...] = model.classes or tuple(map(str, range(model.num_classes)))

    def open(self, path: str | Path) -> Array:
        """Read a picture as an image like those that the network learnt from, uint8 (H, W).

        Raises
        ------
        LoadError
            If the file is no picture of a digit.
        """
        return data.read_digit(path, like=self.like)

    def read(self, path: str | Path) -> Array:
        """Return the probability of each class, (classes,), for the picture in a file.

        Raises
        ------
        LoadError
            If the file is no picture of a digit.
        """
        first: Array = self.probabilities(data.ArrayDataset(self.open(path)[None], [0]))[0]
        return first

    def probabilities(self, images: Dataset, tell: Callable[[int], None] = lambda done: None) -> Array:
        """Return the probability of each class for each image, (N, classes); ``tell`` hears how many are done."""
        form, said = self.model.form, []
        for batch, _ in data.Loader(images, 64).batches(0):
            with no_grad():
                said.append(form.probabilities(self.model(form.preprocess(batch))))
            tell(sum(map(len, said)))
        return np.concatenate(said)
