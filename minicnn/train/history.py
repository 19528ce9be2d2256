"""What came of each epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from minicnn.files import write_atomically


@dataclass(frozen=True)
class Row:
    """One epoch, counted from 1. The training columns are means over the epoch, while the network learnt."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float


@dataclass
class History:
    """The rows of a run, oldest first.

    Examples
    --------
    >>> history = History([Row(1, 0.9, 0.7, None, None, 0.1, 2.5)])
    >>> history[-1].train_accuracy
    0.7
    >>> print(history.csv())
    epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,lr,seconds
    1,0.9,0.7,,,0.1,2.5
    <BLANKLINE>
    """

    rows: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> Row:
        return self.rows[place]

    def csv(self) -> str:
        """Return the rows as text, with a line of names above."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [column.name for column in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self)
        return text.getvalue()

    def write_csv(self, path: str | Path) -> None:
        """Write ``csv()`` to a file, whole or not at all."""
        write_atomically(path, self.csv().encode())
