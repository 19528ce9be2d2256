"""What a frozen network makes of every photo, computed once and kept on disk.

While a base is frozen, a photo's features are the same in every epoch: a head that learns from them learns in
seconds. To have augmentation all the same, several views of each photo pass through the base, and in each epoch the
head sees one of them, drawn by (seed, epoch, row). The file is named by a hash of all that the features depend on:
the network's weights, the preprocessing, the views, the contents of the photos, and the kernels.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
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
from minicnn.kernels import jit
from minicnn.transfer.freezing import digest
from minicnn.weights import safetensors_file

KEPT = 20  # files of features; the oldest go first
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
        If features are to be kept, and the repr of ``views`` has an address instead of what it does.
    """
    file = None if folder is None else folder / f"{key(base, images, views, seed, batch_size)}.safetensors"
    if file is not None and (kept := _kept(file)) is not None:
        tell(len(images))
        return kept
    see = base.form.preprocess
    found: list[Array] = []
    done = 0
    with base.inference(), no_grad():
        for batch, _ in Loader(images, READ, transform=views, seed=seed, workers=workers).batches(0):
            shown = batch.reshape(-1, *batch.shape[2:])
            pieces = (shown[start : start + batch_size] for start in range(0, len(shown), batch_size))
            made = np.concatenate([base(see.normalise(piece)).numpy() for piece in pieces])
            found.append(made.reshape(*batch.shape[:2], *made.shape[1:]))
            done += len(batch)
            tell(done)
    made = np.concatenate(found)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            safetensors_file.write(temporary, {"features": made}, {})
        _prune(file.parent)
    return made


def key(base: Any, images: Dataset, views: Transform, seed: int, batch_size: int) -> str:
    """Return a name for features: a hash of all that they depend on."""
    if " at 0x" in repr(views):  # another function may stand there tomorrow
        raise OptionError(f"features: to be kept, views must say in its repr what it does, got {views!r}")
    parts = (
        base.config, digest(base), base.form.preprocess, views, images.digest(), seed, batch_size, jit.fingerprint()
    )  # fmt: skip
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:32]


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
    os.utime(file)
    return made


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in files[KEPT:]:
        old.unlink(missing_ok=True)
