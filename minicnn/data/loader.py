"""Batches, in an order that depends on the seed and the epoch and on nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.dataset import Dataset
from minicnn.errors import OptionError, ShapeError

Batch = tuple[NDArray[Any], NDArray[Any]]
Transform = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
Mix = Callable[[NDArray[Any], NDArray[Any], np.random.Generator], Batch]

OF_IMAGE, OF_BATCH = 1, 2  # the last part of a seed: an image's and a batch's random numbers have nothing in common
AHEAD = 2  # batches that workers prepare while another is learnt from


class Loader:
    """Cut a data set into batches, shuffled anew in each epoch if asked.

    The last batch holds what is left over, so every image is seen once in each epoch (unless ``balanced``). No state is
    carried from one batch to the next: ``batches(epoch, start)`` begins in the middle of any epoch, which is how a
    run that was killed is resumed. What ``transform`` makes of an image depends on the seed, the epoch and the image's
    row alone, not on the batch that it is in, nor on the number of workers.

    Parameters
    ----------
    dataset : Dataset
        An ``ArrayDataset``, ``Photos``, or anything like them.
    batch_size : int
    shuffle : bool
    seed : int
        Of the order, and of the random numbers that ``transform`` and ``mix`` get.
    transform : function, optional
        ``(image, rng) -> image``, (C, H, W) or (H, W): what is done to each image (augmentation, cutting out).
    mix : function, optional
        ``(images, labels, rng) -> (images, labels)``: what is done to each batch after that (mixup).
    balanced : bool
        Draw every class equally often: an epoch has as many images as ever, of a small class some come several times,
        of a large one some do not come. All images of a class come before one comes again.
    workers : int
        Threads that read and transform images ahead of time; 0: they are made when they are asked for. Reading files
        and our own augmentation leave Python's lock alone, so threads help.

    Raises
    ------
    OptionError
        If ``batch_size`` is not a positive integer, or the seed or the workers not a natural number.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.data import ArrayDataset
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
        dataset: Dataset,
        batch_size: int = 64,
        *,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        mix: Mix | None = None,
        balanced: bool = False,
        workers: int = 0,
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0), ("workers", workers, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise OptionError(f"Loader: {name} must be an integer >= {least}, got {value!r}")
        self.dataset, self.batch_size, self.shuffle, self.balanced = dataset, int(batch_size), shuffle, balanced
        self.seed, self.transform, self.mix, self.workers = int(seed), transform, mix, int(workers)
        self.epoch = 0  # of the next `for images, labels in loader`

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of the data set in the order of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        rows = _balanced(self.dataset.labels, rng) if self.balanced else np.arange(len(self.dataset))
        if self.shuffle:
            rng.shuffle(rows)
        return rows

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number ``start`` on."""
        rows = self.order(epoch)
        places = range(start * self.batch_size, len(rows), self.batch_size)
        parts = [rows[place : place + self.batch_size] for place in places]
        ready = self._ahead(parts, epoch) if self.workers else (self._now(part, epoch) for part in parts)
        for number, (images, labels) in enumerate(ready, start):
            if self.mix is None:
                yield images, labels
            else:
                yield self.mix(images, labels, np.random.default_rng([self.seed, epoch, number, OF_BATCH]))

    def _now(self, rows: NDArray[np.int64], epoch: int) -> Batch:
        if self.transform is None:
            return self.dataset[rows]
        return self._stack([self._one(int(row), epoch) for row in rows], rows)

    def _one(self, row: int, epoch: int) -> NDArray[Any]:
        image, _ = self.dataset[row]
        if self.transform is None:
            return image
        return self.transform(image, np.random.default_rng([self.seed, epoch, row, OF_IMAGE]))

    def _stack(self, images: list[NDArray[Any]], rows: NDArray[np.int64]) -> Batch:
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            found = ", ".join(map(str, sorted(shapes)[:3]))
            raise ShapeError(f"Loader: transform must make all images of a batch of one shape, got {found}")
        return np.stack(images), self.dataset.labels[rows]

    def _ahead(self, parts: list[NDArray[np.int64]], epoch: int) -> Iterator[Batch]:
        """Yield batches that threads make, each image by whoever is free."""
        waiting: deque[tuple[list[Future[NDArray[Any]]], NDArray[np.int64]]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minicnn_loader")
        try:
            for part in parts:
                waiting.append(([pool.submit(self._one, int(row), epoch) for row in part], part))
                if len(waiting) > AHEAD:
                    images, rows = waiting.popleft()
                    yield self._stack([image.result() for image in images], rows)
            for images, rows in waiting:
                yield self._stack([image.result() for image in images], rows)
        finally:  # also when nobody wants the rest, or a file cannot be read
            pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch."""
        self.epoch += 1
        return self.batches(self.epoch - 1)


def _balanced(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose as many rows as there are labels, of every class as many (or one more)."""
    classes = rng.permutation(np.unique(labels))  # who gets one more
    chosen = []
    for place, label in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        count = len(labels) // len(classes) + (place < len(labels) % len(classes))
        rounds = -(-count // len(rows))
        chosen.append(np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count])
    return np.concatenate(chosen) if chosen else np.arange(0)
