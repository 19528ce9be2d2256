"""The folder of a transfer after it is done: its network looks at photos, and is tested on more of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models, nn, weights
from minicnn.autograd import Array
from minicnn.data.dataset import Dataset, Photos
from minicnn.data.pictures import read_photo
from minicnn.errors import LoadError
from minicnn.files import replacing
from minicnn.inspect.pictures import draw_confusion
from minicnn.inspect.sheets import draw_reliability, draw_sheet
from minicnn.models import pretrained
from minicnn.train.evaluation import Measures
from minicnn.transfer.head import default_head, with_head
from minicnn.transfer.learning import logits_of, probabilities
from minicnn.transfer.plan import Plan, load_plan
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
        self.classes = tuple(json.loads(source.metadata["classes"]))
        with nn.init.using(nn.init.zeros):
            base = models.create(**plan.model)
            self.model: Any = with_head(base, default_head(base, len(self.classes), dropout=plan.head.dropout))
        self.model.load_state_dict({name: entry.read() for name, entry in source.items()})
        self.model.eval()

    def read(self, path: str | Path, *, upright: bool = True) -> Array:
        """Return the probability of each class, (classes,), for the photo in a file.

        Raises
        ------
        LoadError
            If the file is no photo.
        """
        photo = Photos([path], [0], read=lambda file: read_photo(file, upright=upright))
        first: Array = self.probabilities(photo)[0]
        return first

    def photos(self, files: list[Path], labels: list[int]) -> Photos:
        """Return files as the data set that this network can look at."""
        return Photos(files, labels)

    def probabilities(self, images: Dataset) -> Array:
        """Return the probability of each class for each image, the mean over it and its mirror image."""
        return probabilities(logits_of(self.model, images))


def name_of(part: Dataset, row: int) -> str:
    """Return how to call an image of a set: its file, or its row."""
    return str(part.files[row]) if isinstance(part, Photos) else f"image {row}"


def draw_test(found: Measures, chances: Array, images: Dataset, classes: tuple[str, ...], out: Path) -> None:
    """Draw the confusion matrix, the reliability diagram and the worst mistakes of a test into a folder."""
    draw_confusion(found.confusion, classes, out / "confusion.png")
    draw_reliability(found.bins, out / "reliability.png")
    answers = chances.argmax(axis=1)
    wrong = np.flatnonzero(answers != images.labels)
    worst = wrong[np.argsort(-chances[wrong, answers[wrong]], kind="stable")][:SHOWN]
    titles = [
        f"{classes[images.labels[row]]}\nnot {classes[answers[row]]} ({100 * chances[row, answers[row]]:.0f} %)"
        for row in worst
    ]
    draw_sheet([images[int(row)][0] for row in worst], titles, out / "mistakes.png", title="The worst mistakes",
               empty="no mistakes")  # fmt: skip
