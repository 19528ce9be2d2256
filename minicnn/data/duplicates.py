"""Images that look alike: a test on what was learnt from says nothing, and collections from the web are full of copies.

The difference hash (N. Krawetz, "Kind of like that", 2013): an image is shrunk to 9 x 8 grey pixels, and each of 64
bits says whether a pixel is brighter than its neighbour. Scaling, compression and small changes of colour leave most
bits as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.pictures import picture_of
from minicnn.errors import import_extra

DISTANCE = 4  # bits of 64 in which copies may differ
FLAT = 6  # grey levels: an image whose small version has no more says nothing by its hash
BLOCK = 128  # hashes compared with all others at a time: 20 MB for 20,000 images


def near_duplicates(images: Iterable[NDArray[Any]], *, distance: int = DISTANCE) -> list[tuple[int, int]]:
    """Return the pairs (i, j), i < j, of images that look the same.

    Parameters
    ----------
    images : iterable of uint8 arrays, shape (H, W) or (C, H, W) with C 1 or 3
        Of any size.
    distance : int
        In how many bits of 64 the hashes of two may differ.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.

    Notes
    -----
    An image without structure (a blank page) is like another only if their pixels are equal once they are shrunk.

    Examples
    --------
    >>> ramp = np.add.outer(np.arange(80), np.arange(90)).astype(np.uint8)
    >>> near_duplicates([ramp, ramp[::-1, ::-1], ramp[::2, ::2]])
    [(0, 2)]
    """
    small = np.stack([_shrunk(image) for image in images] or [np.zeros((8, 9), np.uint8)])
    brighter = small[:, :, 1:] > small[:, :, :-1]
    codes = np.packbits(brighter.reshape(-1, 64), axis=1).view(np.uint64)[:, 0]
    flat = np.ptp(small.reshape(len(small), -1), axis=1) <= FLAT
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(codes), BLOCK):
        near = np.bitwise_count(codes[start : start + BLOCK, None] ^ codes[None, start:]) <= distance
        for i, j in np.argwhere(np.triu(near, 1)):
            one, other = start + int(i), start + int(j)
            if not (flat[one] or flat[other]) or np.array_equal(small[one], small[other]):
                pairs.append((one, other))
    return pairs


def _shrunk(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image as 8 rows of 9 grey pixels."""
    pillow = import_extra("PIL.Image", "finding images that look alike")
    return np.asarray(picture_of(image).convert("L").resize((9, 8), pillow.Resampling.BILINEAR))
