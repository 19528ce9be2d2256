"""Files of weights, whoever wrote them, read without any framework and without executing anything.

``open`` looks at what a file holds, not at what it is called, and returns its arrays by name; each is read when it is
asked for. ``layouts`` and ``names`` say which of them belongs where; ``CATALOGUE`` lists what is published, ``fetch``
downloads it.

Nothing here knows a network: ``minicnn.models.create(name, weights=path)`` brings both together.
"""

from __future__ import annotations

import math
from pathlib import Path

from minicnn.errors import LoadError
from minicnn.weights import caffe_file, keras_file, npz_file, onnx_file, safetensors_file, torch_file
from minicnn.weights.catalogue import CATALOGUE as CATALOGUE
from minicnn.weights.download import fetch as fetch
from minicnn.weights.source import MOST_BYTES, File
from minicnn.weights.source import Entry as Entry
from minicnn.weights.source import Source as Source
from minicnn.weights.zip_archive import Archive

KINDS = "PyTorch, safetensors, Keras, Caffe, NumPy (.npz), ONNX"
STRANGERS = (  # how files start that are often taken for weights
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: run `git lfs pull` where it comes from"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"BZh", "a bzip2 file: unpack it first"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x93NUMPY", "a single array (.npy); several with names are a .npz file"),
)


def open(path: str | Path) -> Source:
    """Open a file of weights.

    Parameters
    ----------
    path : path
        A file of PyTorch (``.pth .pt .th .ckpt``, zip or the older stream), safetensors, Keras (``.h5``,
        ``.weights.h5``, ``.keras``), Caffe (``.caffemodel``), NumPy (``.npz``) or ONNX. Its name does not matter.

    Returns
    -------
    Source
        A mapping of names to ``Entry``: ``shape``, ``dtype`` and ``read()``.

    Raises
    ------
    LoadError
        If there is no such file, it is of no known kind, damaged, holds code, or would unpack to far more than it is.
    MissingExtraError
        If h5py or safetensors is needed and not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn import weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/two.npz", a=np.zeros(3), b=np.ones((2, 2), np.float32))
    ...     source = weights.open(f"{folder}/two.npz")
    >>> source.format, source["b"].shape, source["b"].read().sum()
    ('npz', (2, 2), np.float32(4.0))
    """
    file = File.open(path)
    source = _read(file)
    size = sum(math.prod(entry.shape) * entry.dtype.itemsize for entry in source.values())
    if size > MOST_BYTES:  # tensors may share numbers, so that a small file can have large arrays
        raise file.error(f"its arrays have {size:,} bytes together; more than {MOST_BYTES:,} are not read")
    return source


def _read(file: File) -> Source:
    """Find out what bytes are, and read them."""
    start = bytes(file.data[:512])
    if start.startswith(b"PK"):
        return _read_zip(file)
    if start.startswith(keras_file.HDF5):
        return keras_file.read(file)
    if start.startswith(torch_file.LEGACY):
        return torch_file.read_legacy(file)
    if safetensors_file.looks_like(file.data):
        return safetensors_file.read(file)
    stranger = _stranger(start)
    if stranger:
        raise file.error(f"is {stranger}; known are files of {KINDS}")
    try:
        if onnx_file.looks_like(file):
            return onnx_file.read(file)
        return caffe_file.read(file)
    except LoadError as error:
        raise file.error(
            f"is of no known kind ({KINDS}); if it is of Caffe or ONNX, it is damaged: {error.what}"
        ) from None


def _stranger(start: bytes) -> str:
    """Say what a file is that holds no weights, or weights in a way that is not read."""
    for magic, what in STRANGERS:
        if start.startswith(magic):
            return what
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a plain pickle, which can run code when it is opened"
    if start[257:262] == b"ustar":
        return "a tar file, as torch 0.1 wrote: load it in a later PyTorch, in a sandbox, and save it again"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the download got an error page instead of the file"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "text"
    return ""


def _read_zip(file: File) -> Source:
    archive = Archive(file)
    names = archive.members
    if keras_file.WEIGHTS in names or keras_file.CONFIG in names:
        return keras_file.read(file, archive)
    if any(name.endswith("data.pkl") for name in names):
        return torch_file.read_zip(file, archive)
    if any(name.endswith(".npy") for name in names):
        return npz_file.read(file, archive)
    shown = ", ".join(list(names)[:3])
    raise file.error(f"a zip file that holds no weights: {shown or 'nothing'}")
