"""Images with their labels: in memory, or in files that are read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.data.pictures import frames, read_photo
from minicnn.errors import DTypeError, LoadError, ShapeError

Images = NDArray[Any]


class Dataset(Protocol):
    """What a ``Loader`` and a training need of a set of images.

    ``set[3]`` is one image and its label, ``set[rows]`` all those as arrays; ``labels`` are there without an image
    being read; ``only(rows)`` is a part of the set, ``digest()`` tells two sets apart.
    """

    labels: NDArray[np.int64]

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any) -> tuple[Images, Any]: ...
    def only(self, rows: ArrayLike) -> Self: ...
    def digest(self) -> str: ...


class ArrayDataset:
    """Images and labels that lie in memory.

    Parameters
    ----------
    images : array, shape (N, ...)
    labels : array of integers, shape (N,)

    Raises
    ------
    ShapeError
        If the labels are not one per image.
    DTypeError
        If the labels are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> data = ArrayDataset(np.zeros((3, 28, 28), np.uint8), [7, 2, 1])
    >>> len(data)
    3
    >>> images, labels = data[1:]
    >>> images.shape, labels
    ((2, 28, 28), array([2, 1]))
    """

    def __init__(self, images: ArrayLike, labels: ArrayLike) -> None:
        self.images: Images = np.asarray(images)
        self.labels = _labels("ArrayDataset", labels, self.images.shape)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.images[rows], self.labels[rows]

    def only(self, rows: ArrayLike) -> ArrayDataset:
        """Return the set of these rows."""
        chosen = np.asarray(rows, np.int64)
        return ArrayDataset(self.images[chosen], self.labels[chosen])

    def digest(self) -> str:
        """Return the SHA-256 of the images, their shape and dtype."""
        found = hashlib.sha256(f"{self.images.dtype} {self.images.shape}\n".encode())
        found.update(np.ascontiguousarray(self.images).data)
        return found.hexdigest()


class Photos:
    """Photos in files; a file is read each time its photo is asked for.

    Parameters
    ----------
    files : sequence of paths
    labels : array of integers, shape (N,)
    read : function
        From a path to a Pillow image; by default ``read_photo``: RGB, turned as the camera says.

    Raises
    ------
    ShapeError, DTypeError
        If the labels are not one integer per file.

    Examples
    --------
    >>> import PIL.Image, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.new("RGB", (40, 30)).save(f"{folder}/a.png")
    ...     image, label = Photos([f"{folder}/a.png"], [1])[0]
    >>> image.shape, image.dtype, int(label)
    ((3, 30, 40), dtype('uint8'), 1)
    """

    def __init__(
        self, files: Sequence[str | Path], labels: ArrayLike, *, read: Callable[[Path], Any] = read_photo
    ) -> None:
        self.files = tuple(map(Path, files))
        self.labels = _labels("Photos", labels, (len(self.files),))
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Any) -> tuple[Images, Any]:
        """Return one photo, uint8 (3, H, W), and its label; or several of one size, (n, 3, H, W), and their labels.

        Raises
        ------
        LoadError
            If a file cannot be read.
        ShapeError
            If several photos differ in size: then a ``Loader`` needs a ``transform`` that cuts them.
        """
        if isinstance(rows, (int, np.integer)):
            return self.image(self.files[rows]), self.labels[rows]
        images = [self.image(self.files[row]) for row in np.arange(len(self))[rows]]
        sizes = {image.shape[1:] for image in images}
        if len(sizes) > 1:
            found = ", ".join(f"{h} x {w}" for h, w in sorted(sizes)[:3])
            raise ShapeError(f"Photos: a batch needs photos of one size, which a transform cuts out, got {found}")
        return np.stack(images) if images else np.zeros((0, 3, 1, 1), np.uint8), self.labels[rows]

    def image(self, file: Path) -> Images:
        """Read a file as uint8 (3, H, W), or (1, H, W) where ``read`` gives grey."""
        pixels = np.asarray(self.read(file))
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def only(self, rows: ArrayLike) -> Photos:
        """Return the set of these rows."""
        chosen = np.asarray(rows, np.int64)
        return Photos([self.files[row] for row in np.arange(len(self))[chosen]], self.labels[chosen], read=self.read)

    def digest(self) -> str:
        """Return the SHA-256 of the files' contents, in their order."""
        found = hashlib.sha256()
        for file in self.files:
            try:
                found.update(hashlib.sha256(file.read_bytes()).digest())
            except OSError as error:
                raise LoadError(file, f"cannot be read: {error.strerror}") from error
        return found.hexdigest()

    def tried(self, workers: int = 2) -> Iterator[tuple[int, LoadError | str]]:
        """Try every file, and yield the rows of those that cannot be read, or are animated, with what is to be said."""

        def attempt(row: int) -> LoadError | str | None:
            file = self.files[row]
            try:
                self.read(file)
                count = frames(file)
            except LoadError as error:
                return error
            return f"{file} has {count} frames, of which the first is taken" if count > 1 else None

        with ThreadPoolExecutor(workers) as pool:
            for row, found in enumerate(pool.map(attempt, range(len(self)))):
                if found is not None:
                    yield row, found


def _labels(name: str, labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Accept integers, one per image."""
    found = np.asarray(labels)
    if found.ndim != 1 or shape[:1] != found.shape:
        raise ShapeError(f"{name}: labels must have shape (N,) for images (N, ...), got {found.shape} for {shape}")
    if found.size and found.dtype.kind not in "iu":
        raise DTypeError(f"{name}: labels must be integers, got {found.dtype}")
    return found.astype(np.int64)
