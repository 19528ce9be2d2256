"""The kernels: NumPy arrays in, NumPy arrays out, compiled by Numba on first use.

Every op stands here twice, under the same names and signatures: ``reference/<op>.py`` is the textbook
(plain loops, no Numba) and ``<op>.py`` is the fast twin. Start with README.md in this folder.

Kernels trust their caller: arrays are C-contiguous, writeable, of native byte order and of one dtype
(float32 or float64), options are already pairs of ints. ``minicnn.functional`` checks.
"""

if __name__ != "minicnn.kernels":
    raise ImportError(
        "this folder is the package minicnn.kernels: install the project (pip install -e .) and write "
        "`import minicnn.kernels`; a top-level name `kernels` would belong to somebody else"
    )

import os
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDERS = {"fast": "minicnn.kernels", "reference": "minicnn.kernels.reference"}
_chosen: ContextVar[str] = ContextVar("minicnn_kernels", default="fast")
_modules: dict[tuple[str, str], Any] = {}


def twin(op: str) -> Any:
    """Return the module of ``op``: the fast one, or the reference inside ``using_kernels("reference")``."""
    key = (_chosen.get(), op)
    module = _modules.get(key)
    if module is None:
        if key[0] == "fast" and os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            raise RuntimeError(
                "the fast kernels need Numba's compiler, which NUMBA_DISABLE_JIT switches off: unset it, or use "
                'minicnn.using_kernels("reference"), plain Python that a debugger can step through'
            )
        module = _modules[key] = import_module(f"{_FOLDERS[key[0]]}.{op}")
    return module


@contextmanager
def using_kernels(which: str) -> "Iterator[None]":
    """Run the ops of the ``with`` block on the ``"fast"`` or the ``"reference"`` kernels.

    A recorded op keeps its kernels: ``backward()`` may be called outside the block.

    Raises
    ------
    ValueError
        If ``which`` is neither name.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> with minicnn.using_kernels("reference"):
    ...     print(minicnn.functional.relu(np.float32([-1.0, 2.0])).numpy())
    [0. 2.]
    """
    if which not in _FOLDERS:
        raise ValueError(f"using_kernels: which must be one of {sorted(_FOLDERS)}, got {which!r}")
    token = _chosen.set(which)
    try:
        yield
    finally:
        _chosen.reset(token)
