"""From their order of numbers to ours: (C_out, C_in // groups, KH, KW), (C, 1, KH, KW), (out_features, in_features).

Which way it goes follows from who wrote the file and from the shapes; only of the first fully connected layer a table
of ``names`` must say in which order it saw the maps.

>>> ours(np.zeros((3, 3, 8, 16)), (16, 8, 3, 3), "keras").shape
(16, 8, 3, 3)
>>> ours(np.zeros((1, 1, 1, 10)), (10,), "caffe").shape
(10,)
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.weights.source import Array, Shape


def ours(theirs: Array, shape: Shape, format: str, layout: str = "") -> Array | None:
    """Return a view of an array in our order; None if its shape does not allow that.

    Parameters
    ----------
    theirs : array
    shape : tuple of int
        What is wanted.
    format : str
        ``Source.format``.
    layout : str
        Of ``names.Place``: ``"hwc:7"`` for the layer that sees 7 x 7 maps, their channels last.
    """
    view = _of_keras(theirs, shape, layout) if format == "keras" else _of_others(theirs, shape)
    return view if view is not None and view.shape == shape else None


def fits(their_shape: Shape, shape: Shape, format: str, layout: str = "") -> bool:
    """Tell whether ``ours`` would find a way, without any numbers."""
    return ours(np.broadcast_to(np.float32(0), their_shape), shape, format, layout) is not None


def _of_keras(theirs: Array, shape: Shape, layout: str) -> Array | None:
    if len(shape) == 4 and theirs.ndim == 4:
        if theirs.shape[2:] == (shape[0], 1):  # a depthwise kernel: (KH, KW, C, multiplier)
            return theirs.transpose(2, 3, 0, 1)
        return theirs.transpose(3, 2, 0, 1)  # (KH, KW, C_in, C_out)
    if len(shape) == 2:
        if theirs.ndim == 4 and theirs.shape[:2] == (1, 1):  # a fully connected layer written as a convolution
            theirs = theirs[0, 0]
        if theirs.ndim != 2 or theirs.shape != shape[::-1]:
            return None
        if layout.startswith("hwc:"):
            side = int(layout.removeprefix("hwc:"))
            if shape[1] % side**2:
                return None
            maps = theirs.reshape(side, side, shape[1] // side**2, shape[0])
            return maps.transpose(3, 2, 0, 1).reshape(shape)
        return theirs.T
    return theirs


def _of_others(theirs: Array, shape: Shape) -> Array | None:
    """PyTorch's order is ours; a convolution may be written for a fully connected layer, Caffe writes leading ones."""
    if theirs.shape == shape or math.prod(theirs.shape) != math.prod(shape):
        return theirs
    small = [n for n in theirs.shape if n != 1]
    same = small == [n for n in shape if n != 1]
    flat = len(shape) == 2 and theirs.ndim == 4 and theirs.shape[0] == shape[0]
    return theirs.reshape(shape) if same or flat else None
