"""What a frozen network makes of every photo, computed once and kept on disk.

While a base is frozen, a photo's features are the same in every epoch: a head that learns from them learns in
seconds. To have augmentation all the same, several views of each photo pass through the base, and in each epoch the
head sees one of them, drawn by (seed, epoch, row). Files hold the features of 1024 photos each, so that not all is lost
when hours of work are interrupted. They are named by a hash of all that the features depend on: the network's
weights, the preprocessing, the views, the contents of the photos, and the kernels.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import weights
from minicnn.autograd import Array, no_grad
from minicnn.data import Loader
from minicnn.data.augmentation import TenCrop
from minicnn.data.dataset import Dataset
from minicnn.data.loader import Transform
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import LoadError, OptionError, import_extra
from minicnn.files import replacing
from minicnn.functional import check
from minicnn.kernels import jit
from minicnn.transfer.freezing import digest
from minicnn.weights import safetensors_file

PART = 1024  # images whose features are in a file
KEPT = 20  # files of features, beside those that were just asked for; the oldest go first
TESTED = (1, 2, 10)
READ = 16  # images that are read and cut together
LARGER = 256 / 224  # what ten crops are cut from, where the whole image is what the network sees


@dataclass(frozen=True)
class Views:
    """Several views of one image: those on which it is tested, and as many as asked of its augmentation.

    A ``transform`` of a ``Loader``: (C, H, W) -> (V, C, size, size).

    Attributes
    ----------
    see : Preprocessing
        Of the network.
    tested : {1, 2, 10}
        How many views come first that no random number has a part in: the middle; it and its mirror image; the
        corners and the middle and their mirror images (``augmentation.TenCrop``).
    augment : function, optional
        ``(image, rng) -> (C, size, size)``
    count : int
        How many views of that follow.
    """

    see: Preprocessing
    tested: int = 1
    augment: Transform | None = None
    count: int = 0

    def __post_init__(self) -> None:
        if self.tested not in TESTED:
            raise OptionError(f"Views: tested must be one of {', '.join(map(str, TESTED))}, got {self.tested!r}")

    def __call__(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Return the views of an image."""
        drawn = [] if self.augment is None else [self.augment(image, rng) for _ in range(self.count)]
        if self.tested == 10:
            larger = replace(self.see, resize=self.see.resize or round(self.see.size * LARGER))
            return np.stack([*TenCrop(self.see.size)(larger.resized(image)), *drawn])
        plain = self.see.cut(image)
        return np.stack([plain, *([plain[..., ::-1]] * (self.tested - 1)), *drawn])


def one_view(views: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Draw one of the views of an image, or of its features: a ``transform`` for features (N, views, F)."""
    view: NDArray[Any] = views[rng.integers(len(views))]
    return view


def features(
    base: Any,
    images: Dataset,
    views: Transform,
    *,
    seed: int = 0,
    batch_size: int = 32,
    workers: int = 2,
    folder: Path | None = None,
    tell: Callable[[int], None] = lambda images: None,
) -> Array:
    """Return what a network makes of every view of every image, in inference mode.

    Parameters
    ----------
    base : Module
        Of ``models.create(..., include_top=False)``.
    images : Dataset
    views : function
        ``(image, rng) -> uint8 (V, C, size, size)``: a ``Views``, or anything with a repr that says what it does.
    seed : int
        Of the random numbers that ``views`` gets.
    batch_size : int
        Views that go through the network together: enough for two threads, and the memory between layers is small
        enough to be used again (288 at a time take 1.5 times as long, half of it the system's, to clear pages).
    workers : int
        Threads that read and cut images.
    folder : path, optional
        Where files of features are kept; None: nothing is kept. ``cache_folder()`` is the user's.
    tell : function
        Is told after each batch how many images are done.

    Returns
    -------
    array, float32, shape (N, V, F) or (N, V, C, H, W)

    Raises
    ------
    LoadError
        If a photo cannot be read.
    OptionError
        If there are no images, ``batch_size`` is below 1, or features are to be kept and the repr of ``views`` has an
        address instead of what it does.
    """
    check.integer("features", "batch_size", batch_size, 1)
    if len(images) == 0:
        raise OptionError("features: there must be at least one image, got none")
    known = "" if folder is None else dependences(base, views, seed, batch_size)
    made: list[Array] = []
    for number, start in enumerate(range(0, len(images), PART)):
        part = images.only(np.arange(start, min(start + PART, len(images))))
        file = None if folder is None else folder / f"{key(known, part, number)}.safetensors"
        found = None if file is None else _kept(file)
        if found is None:
            batches = []
            loader = Loader(part, READ, transform=views, seed=seed, workers=workers)
            for batch, _ in loader.batches(number):  # so that the parts differ in their random numbers
                batches.append(_computed(base, batch, batch_size))
                tell(start + sum(map(len, batches)))
            found = np.concatenate(batches)
            if file is not None:
                _keep(file, found)
        else:
            tell(start + len(part))
        made.append(found)
    if folder is not None:
        _prune(folder, KEPT + len(made))
    return np.concatenate(made)


def _computed(base: Any, batch: NDArray[Any], count: int) -> Array:
    """Return the features of a batch (n, V, C, H, W), of which so many views pass through the base at a time."""
    views = batch.reshape(-1, *batch.shape[2:])
    with base.inference(), no_grad():
        made = np.concatenate(
            [
                base(base.form.preprocess.normalise(views[start : start + count])).numpy()
                for start in range(0, len(views), count)
            ]
        )
    return made.reshape(*batch.shape[:2], *made.shape[1:])


def dependences(base: Any, views: Transform, seed: int, batch_size: int) -> str:
    """Name all that features depend on, but for the images."""
    if " at 0x" in repr(views):  # another function may stand there tomorrow
        raise OptionError(f"features: to be kept, views must say in its repr what it does, got {views!r}")
    parts = (base.config, digest(base), base.form.preprocess, views, seed, batch_size, jit.fingerprint())
    return "\n".join(map(repr, parts))


def key(known: str, images: Dataset, number: int) -> str:
    """Return a name for the features of one part of the images: a hash of all that they depend on."""
    return hashlib.sha256(f"{known}\n{images.digest()}\n{number}".encode()).hexdigest()[:32]


def cache_folder() -> Path:
    """Return the user's folder for features: ``$MINICNN_CACHE_DIR/features``, or in a folder for caches."""
    chosen = os.environ.get("MINICNN_CACHE_DIR")
    return Path(chosen or import_extra("pooch", "keeping features").os_cache("minicnn")) / "features"


def _kept(file: Path) -> Array | None:
    """Read a file of features; None if there is none, or it is damaged: then they are computed again."""
    if not file.exists():
        return None
    try:
        made = np.array(weights.open(file)["features"].read())
    except (LoadError, KeyError):
        return None
    with suppress(OSError):  # another run may have pruned it just now
        os.utime(file)
    return made


def _keep(file: Path, made: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        safetensors_file.write(temporary, {"features": made}, {})


def _prune(folder: Path, count: int) -> None:
    def age(path: Path) -> float:
        try:
            return time.time() - path.stat().st_mtime
        except OSError:  # another run has pruned it
            return math.inf

    for old in sorted(folder.glob("*.safetensors"), key=age)[count:]:
        old.unlink(missing_ok=True)
