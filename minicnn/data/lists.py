"""Lists of images and their classes: a CSV file ``path,label``."""

from __future__ import annotations

import csv
from pathlib import Path

from minicnn.errors import LoadError

HEADERS = {"path", "file", "filename", "image", "img", "name"}  # what the first column may be called


def read_list(path: str | Path) -> list[tuple[Path, str]]:
    """Read a list of images.

    Parameters
    ----------
    path : path
        A CSV file in UTF-8, a line ``path,label`` for each image; the first line may be a header (``file,class``).
        Paths are relative to the list's folder. Labels are names of classes, whatever they look like.

    Returns
    -------
    list of (Path, str)

    Raises
    ------
    LoadError
        If the list cannot be read or is empty, or a line has not two columns, an empty one, or a file that another line
        has given another label; the message tells the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "list.csv").write_text('file,label\\na.jpg,ant\\n"b, c.jpg",bee\\n')
    ...     [(file.name, label) for file, label in read_list(f"{folder}/list.csv")]
    [('a.jpg', 'ant'), ('b, c.jpg', 'bee')]
    """
    path = Path(path)
    found: dict[Path, str] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for cells in rows:
                where = f"line {rows.line_num}"
                if not cells or (rows.line_num == 1 and cells[0].strip().lower() in HEADERS):
                    continue
                if len(cells) != 2:
                    raise LoadError(path, f"each line must be path,label, found {len(cells)} columns", where)
                name, label = (cell.strip() for cell in cells)
                if not name or not label:
                    raise LoadError(path, f"the {'label' if name else 'path'} is empty", where)
                image = path.parent / name
                if found.setdefault(image, label) != label:
                    raise LoadError(path, f"{name} is {label!r} here and {found[image]!r} in an earlier line", where)
    except UnicodeDecodeError as error:
        raise LoadError(path, "is not UTF-8 text", f"byte {error.start}") from None
    except csv.Error as error:
        raise LoadError(path, f"is no CSV list: {error}") from None
    except OSError as error:
        raise LoadError(path, f"cannot be read: {error.strerror}") from error
    if not found:
        raise LoadError(path, "names no image")
    return list(found.items())
