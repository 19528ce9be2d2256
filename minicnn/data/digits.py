"""The 1,797 handwritten digits that come with scikit-learn: real data that needs no download.

They are the test part of the "Optical Recognition of Handwritten Digits" set of the UCI repository (Alpaydin and
Kaynak 1998), each an 8 x 8 image whose pixels count ink from 0 to 16.
"""

from __future__ import annotations

import numpy as np

from minicnn.data.dataset import ArrayDataset
from minicnn.errors import import_extra


def load_digits(size: int = 32, *, test_size: float = 0.2) -> tuple[ArrayDataset, ArrayDataset]:
    """Load scikit-learn's digits, enlarged, as a training and a test part.

    The parts hold each digit in the same proportion and are the same in every run, whatever its seed: two
    runs can be compared.

    Parameters
    ----------
    size : int
        Height and width in pixels to which the 8 x 8 images are enlarged (bicubic).
    test_size : float
        Share of the images that is held out for testing.

    Returns
    -------
    (ArrayDataset, ArrayDataset)
        Training and test part; images are uint8 of shape (N, size, size), ink is 255.

    Raises
    ------
    MissingExtraError
        If scikit-learn or Pillow is not installed.

    Examples
    --------
    >>> train, test = load_digits()
    >>> train.images.shape, train.images.dtype, len(test)
    ((1437, 32, 32), dtype('uint8'), 360)
    """
    feature = "load_digits"
    datasets = import_extra("sklearn.datasets", feature)
    selection = import_extra("sklearn.model_selection", feature)
    pillow = import_extra("PIL.Image", feature)
    ink, labels = datasets.load_digits(return_X_y=True)
    small = np.rint(ink.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = np.stack([pillow.fromarray(one).resize((size, size), pillow.Resampling.BICUBIC) for one in small])
    train, test = selection.train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=0
    )
    return ArrayDataset(images[train], labels[train]), ArrayDataset(images[test], labels[test])
