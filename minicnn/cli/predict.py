"""`minicnn predict`: let a network say what pictures show."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minicnn import models
from minicnn.cli.arguments import count
from minicnn.errors import MiniCNNError, OptionError, nearest


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    predict = commands.add_parser(
        "predict",
        help="say what a picture shows",
        description="Let a trained network look at pictures. Prints a line for each: the file, the likeliest classes, "
        "how sure the network is. A RUN of `minicnn train` reads single digits, dark on light or light on dark; one of "
        "`minicnn transfer` knows the classes that it was taught; a MODEL with published weights knows the thousand "
        "classes of ImageNet.",
    )
    predict.add_argument(
        "network",
        metavar="RUN|MODEL|FILE",
        help="a folder that `minicnn train` or `transfer` has written, a network with --weights (or from the "
        "catalogue), or a file that `minicnn convert` has written",
    )
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM files")
    predict.add_argument("--weights", metavar="FILE", help="file of weights for MODEL, whoever wrote it")
    predict.add_argument("--form", help="which form of MODEL, if the file does not tell")
    predict.add_argument(
        "--top", type=count, metavar="K", help="print the K likeliest classes (default: 1 of a RUN, else 5)"
    )
    predict.add_argument(
        "--as-stored", action="store_true", help="do not turn photos as their camera says (EXIF orientation)"
    )
    predict.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    names, read, top = _reader(arguments)
    failed = False
    for image in arguments.images:
        try:
            probabilities = read(image)
        except MiniCNNError as error:
            print(f"minicnn: {error}", file=sys.stderr)
            failed = True
            continue
        best = probabilities.argsort()[::-1][: arguments.top or top]
        shown = [f"{names[c] if names else c}  {100 * probabilities[c]:.1f} %" for c in best]
        print(f"{image}  " + "  ".join(shown), flush=True)
    return int(failed)


def _reader(arguments: argparse.Namespace) -> tuple[Sequence[str], Callable[[str], Any], int]:
    """Return the names of the classes, how to get their probabilities for a file, and how many one wants to see."""
    if os.path.isdir(arguments.network):
        from minicnn.transfer.run import TransferRun, open_run

        run = open_run(arguments.network)
        if isinstance(run, TransferRun):
            return run.classes, lambda path: run.read(path, upright=not arguments.as_stored), 1
        return (), run.read, 1
    from minicnn.autograd import no_grad
    from minicnn.data.pictures import read_photo

    model: Any
    if arguments.network in models.ARCHITECTURES:
        weights = arguments.weights or fetched(arguments.network)
        model = models.create(arguments.network, form=arguments.form, weights=weights)
    elif os.path.isfile(arguments.network):
        model = models.load(arguments.network)
    else:
        near = nearest(arguments.network, models.ARCHITECTURES)
        raise OptionError(f"{arguments.network!r} is no folder of a run, no file of weights and no network{near}")
    if not getattr(model, "include_top", True):
        raise OptionError(f"{arguments.weights or arguments.network} has no last layer, so that it names no classes")
    model.eval()

    def read(path: str) -> Any:
        with no_grad():
            photo = model.form.preprocess([read_photo(path, upright=not arguments.as_stored)])
            return model.form.probabilities(model(photo))[0]

    return model.classes, read, 5


def fetched(name: str) -> Path:
    """Return the catalogue's first file of weights of a network, which is downloaded if need be."""
    from minicnn.weights.catalogue import published
    from minicnn.weights.download import fetch, folder

    entry = published(name)
    if not (folder() / entry.file).exists():
        print(f"Weights {entry.name} ({entry.licence}) from {entry.address}", file=sys.stderr)
    return fetch(entry)
