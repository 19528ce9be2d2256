"""One file that holds all a run needs to go on: written whole or not at all, and believed only if it is unchanged.

It is a safetensors file. Its tensors are the model's (``model.C1.weight``) and the optimiser's
(``optimizer.0.momentum``); its metadata hold everything else as JSON (``facts``), a version, and a SHA-256 of
facts and tensors together. Being one file, its parts cannot disagree, whenever the machine stops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicnn.autograd import Array
from minicnn.errors import LoadError, VersionError, import_extra
from minicnn.files import write_atomically

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps.

    Attributes
    ----------
    model, optimizer : dict of str to array
        Their ``state_dict()``.
    facts : dict
        What JSON can hold: the model's config, epoch and batch, random state, history.
    """

    model: dict[str, Array]
    optimizer: dict[str, Array]
    facts: dict[str, Any]

    def save(self, path: str | Path, *, keep: Path | None = None) -> None:
        """Write to ``path``; a file that stands there becomes ``keep``.

        Raises
        ------
        SaveError
            If it cannot be written (disk full, read-only, ...). The file at ``path`` is then what it was.
        """
        save = import_extra("safetensors.numpy", "a checkpoint").save
        tensors = self._tensors()
        facts = json.dumps(self.facts)
        metadata = {"version": str(VERSION), "sha256": _digest(facts, tensors), "facts": facts}
        write_atomically(path, save(tensors, metadata), keep=keep)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a checkpoint.

        Raises
        ------
        LoadError
            If the file is missing, is no checkpoint, or is not as it was written.
        VersionError
            If a newer minicnn wrote it.
        """
        safetensors = import_extra("safetensors", "a checkpoint")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, safetensors.SafetensorError) as error:
            raise LoadError(path, f"cannot be read as a checkpoint: {error}") from error
        version = metadata.get("version", "")
        if not version.isdigit():
            raise LoadError(path, "is a safetensors file, but no checkpoint of minicnn: it has no version")
        if int(version) > VERSION:
            raise VersionError(path, f"is a checkpoint of version {version}, this minicnn reads up to {VERSION}")
        facts = metadata.get("facts", "")
        if metadata.get("sha256") != _digest(facts, tensors):
            raise LoadError(path, "is corrupt: its contents do not have the SHA-256 that it was written with")
        parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
        for name, array in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        return cls(parts["model"], parts["optimizer"], json.loads(facts))

    def _tensors(self) -> dict[str, Array]:
        return {
            f"{part}.{name}": array
            for part, state in (("model", self.model), ("optimizer", self.optimizer))
            for name, array in state.items()
        }


def _digest(facts: str, tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(facts.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
