"""Images with their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicnn.errors import DTypeError, ShapeError


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
        self.images: NDArray[Any] = np.asarray(images)
        self.labels: NDArray[Any] = np.asarray(labels)
        if self.labels.ndim != 1 or self.images.shape[:1] != self.labels.shape:
            raise ShapeError(
                f"ArrayDataset: labels must have shape (N,) for images (N, ...), got {self.labels.shape} "
                f"for {self.images.shape}"
            )
        if self.labels.size and self.labels.dtype.kind not in "iu":
            raise DTypeError(f"ArrayDataset: labels must be integers, got {self.labels.dtype}")
        self.labels = self.labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.images[rows], self.labels[rows]
