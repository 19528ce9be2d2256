"""The folder of a transfer after it is done: its network looks at photos, and is tested on more of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models, nn, weights
from minicnn.autograd import Array
from minicnn.data import folders
from minicnn.data.dataset import Dataset, Photos
from minicnn.data.pictures import read_photo
from minicnn.errors import LoadError
from minicnn.files import make_folder, replacing, write_json
from minicnn.inspect.pictures import draw_confusion, draw_reliability, draw_roc
from minicnn.inspect.sheets import draw_sheet
from minicnn.models import pretrained
from minicnn.train.evaluation import Measures, measure
from minicnn.train.job import Reader
from minicnn.train.progress import counting
from minicnn.train.run_folder import CONFIG
from minicnn.transfer.head import linear_head, with_head
from minicnn.transfer.learning import logits_of, probabilities
from minicnn.transfer.plan import KIND, Plan, load_plan
from minicnn.weights import safetensors_file

NETWORK = "network.safetensors"
SHOWN = 24  # of the worst mistakes


def save_network(plan: Plan, model: Any, classes: tuple[str, ...], out: Path) -> None:
    """Write all weights of a network with its head, and the names of its classes."""
    arrays = {name: tensor.array for name, tensor in pretrained.tensors(model).items()}
    facts = {"plan": json.dumps(plan.model), "classes": json.dumps(classes), "dropout": str(plan.head.dropout)}
    with replacing(out / NETWORK) as temporary:
        safetensors_file.write(temporary, arrays, facts)


class TransferRun:
    """The network that a transfer has left in a folder.

    Attributes
    ----------
    model : Module
        In inference mode.
    classes : tuple of str
    tested : int
        In how many views it looks at a photo, see ``Views``.

    Raises
    ------
    LoadError
        If the folder holds none, it is not finished, or a file in it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        plan, file = load_plan(folder), Path(folder) / NETWORK
        if not file.exists():
            raise LoadError(folder, f"holds no {NETWORK} yet: its run is not finished (--resume goes on with it)")
        source = weights.open(file)
        try:
            self.classes = tuple(json.loads(source.metadata["classes"]))
            (features,) = source["head.scale.mean"].shape
        except (KeyError, ValueError) as error:
            raise LoadError(file, f"is not the network of a transfer: {error!r}") from None
        self.tested = plan.tested
        with nn.init.using(nn.init.zeros):
            head = linear_head(features, len(self.classes), dropout=plan.head.dropout)
            self.model: Any = with_head(models.create(**plan.model), head)
        self.model.load_state_dict({name: entry.read() for name, entry in source.items()})
        self.model.eval()

    def open(self, path: str | Path, *, upright: bool = True) -> Any:
        """Read a photo, a Pillow image.

        Raises
        ------
        LoadError
            If the file is no photo.
        """
        return read_photo(path, upright=upright)

    def read(self, path: str | Path, *, upright: bool = True) -> Array:
        """Return the probability of each class, (classes,), for the photo in a file.

        Raises
        ------
        LoadError
            If the file is no photo.
        """
        photo = Photos([path], [0], read=lambda file: self.open(file, upright=upright))
        first: Array = self.probabilities(photo)[0]
        return first

    def probabilities(self, images: Dataset, tell: Callable[[int], None] = lambda done: None) -> Array:
        """Return the probability of each class for each image, (N, classes): the mean over its views.

        ``tell`` hears how many are done.
        """
        return probabilities(logits_of(self.model, images, self.tested, tell))


def open_run(folder: str | Path) -> TransferRun | Reader:
    """Open the folder of a run, of whatever command.

    Raises
    ------
    LoadError
        If it holds none, or a file in it is damaged.
    """
    try:
        kind = json.loads((Path(folder) / CONFIG).read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = None  # the reader says what is wrong
    return TransferRun(folder) if kind == KIND else Reader(folder)


def evaluate_run(
    folder: str | Path, path: str | Path, out: Path, *, skip: bool = False, progress: bool = True
) -> tuple[Measures, list[str]]:
    """Test the network of a run on images whose classes are known, and write the result into a folder.

    Parameters
    ----------
    folder : path
        Of a run.
    path : path
        Images, as ``data.open_test`` takes them.
    out : path
        Gets evaluation.json, confusion.png, roc.png, reliability.png and mistakes.png.
    skip : bool
        Go on without files that cannot be read.
    progress : bool
        Show a bar.

    Returns
    -------
    (Measures, list of str)
        The figures, and what was passed over.

    Raises
    ------
    LoadError
        If the run or the images cannot be read, or the network does not know a class of them.
    SaveError
        If the folder cannot be written.
    """
    run = open_run(folder)
    part = folders.readable(folders.open_test(path, run.classes, read=run.open), skip=skip)
    with counting("Images", len(part.validation), "image", shown=progress) as done:
        chances = run.probabilities(part.validation, done)
    found = measure(part.validation.labels, chances, run.classes)
    make_folder(out)
    draw_test(found, chances, part.validation, run.classes, out)
    answers = chances.argmax(axis=1)
    rows = [
        {"image": name_of(part.validation, row), "label": run.classes[label], "answer": run.classes[answers[row]],
         "probability": float(chances[row, answers[row]])}
        for row, label in enumerate(part.validation.labels)
    ]  # fmt: skip
    facts = {"run": str(folder), "data": str(path), "notes": part.notes, **found.as_dict(), "images": rows}
    write_json(out / "evaluation.json", facts)
    return found, part.notes


def name_of(part: Dataset, row: int) -> str:
    """Return how to call an image of a set: its file, or its row."""
    return str(part.files[row]) if isinstance(part, Photos) else f"image {row}"


def draw_test(found: Measures, chances: Array, images: Dataset, classes: tuple[str, ...], out: Path) -> None:
    """Draw confusion matrix, ROC curves, reliability diagram and the worst mistakes of a test into a folder."""
    draw_confusion(found.confusion, classes, out / "confusion.png")
    draw_roc(images.labels, chances, classes, out / "roc.png")
    draw_reliability(found.bins, out / "reliability.png")
    answers = chances.argmax(axis=1)
    wrong = np.flatnonzero(answers != images.labels)
    worst = wrong[np.argsort(-chances[wrong, answers[wrong]], kind="stable")][:SHOWN]
    titles = [
        f"{classes[images.labels[row]]}\ntaken for {classes[answers[row]]} ({100 * chances[row, answers[row]]:.0f} %)"
        f"\n{Path(name_of(images, row)).name}"
        for row in worst
    ]
    draw_sheet([images[int(row)][0] for row in worst], titles, out / "mistakes.png", title="The worst mistakes",
               empty="no mistakes")  # fmt: skip
