"""Batches, in an order that depends on the seed and the epoch and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.dataset import ArrayDataset
from minicnn.errors import OptionError

Batch = tuple[NDArray[Any], NDArray[Any]]
Transform = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]


class Loader:
    """Cut a data set into batches, shuffled anew in each epoch if asked.

    The last batch holds what is left over, so every image is seen once in each epoch. No state is carried from
    one batch to the next: ``batches(epoch, start)`` begins in the middle of any epoch, which is how a run that
    was killed is resumed.

    Parameters
    ----------
    dataset : ArrayDataset
        Or anything with ``len()`` that gives ``(images, labels)`` for an array of row numbers.
    batch_size : int
    shuffle : bool
    seed : int
        Of the order, and of the random numbers that ``transform`` gets.
    transform : function, optional
        From the images of a batch and a random generator to the images to train on (augmentation).

    Raises
    ------
    OptionError
        If ``batch_size`` is not a positive integer or the seed not a natural number.

    Examples
    --------
    >>> import numpy as np
    >>> loader = Loader(ArrayDataset(np.zeros((5, 8, 8)), np.arange(5)), batch_size=2, shuffle=True, seed=1)
    >>> len(loader)
    3
    >>> [labels.tolist() for _, labels in loader.batches(epoch=0)]
    [[4, 0], [1, 2], [3]]
    >>> [labels.tolist() for _, labels in loader.batches(epoch=0, start=1)]
    [[1, 2], [3]]
    """

    def __init__(
        self,
        dataset: ArrayDataset,
        batch_size: int = 64,
        *,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise OptionError(f"Loader: {name} must be an integer >= {least}, got {value!r}")
        self.dataset, self.batch_size, self.shuffle = dataset, int(batch_size), shuffle
        self.seed, self.transform = int(seed), transform
        self.epoch = 0  # of the next `for images, labels in loader`

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number ``start`` on."""
        rows = np.arange(len(self.dataset))
        if self.shuffle:
            np.random.default_rng([self.seed, epoch]).shuffle(rows)
        for number in range(start, len(self)):
            images, labels = self.dataset[rows[number * self.batch_size : (number + 1) * self.batch_size]]
            if self.transform is not None:
                images = self.transform(images, np.random.default_rng([self.seed, epoch, number]))
            yield images, labels

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""
        self.epoch += 1
        return self.batches(self.epoch - 1)
