"""The tape of a computation, as text and as a picture: what backward() will walk through.

An op stands here with the inputs that need a gradient (the tape does not know the others) and with the arrays that its
gradients keep alive until then. The picture is drawn in layers: an op stands one row above the lowest op that
reads it, and a row's ops are pulled under and over their neighbours, so that a chain is a straight line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from minicnn.autograd import Array, Node, Tensor
from minicnn.errors import OptionError, import_extra
from minicnn.inspect.pictures import check_ending, save
from minicnn.nn import Module


def tape(tensor: Tensor, model: Module | None = None) -> str:
    """Return the tape that leads to ``tensor`` as text, the youngest op first, as backward() visits them.

    Parameters
    ----------
    tensor : Tensor
        A loss, say.
    model : Module, optional
        Gives the leaves the names of its parameters; a leaf's own ``name`` attribute comes first.

    Returns
    -------
    str
        A line for each op: its number, name and output shape; the ops (by number) and leaves that it sends gradients
        to; the arrays it saved and their size. An array that several ops saved counts once in the sum.

    Examples
    --------
    >>> import numpy as np, minicnn, minicnn.inspect
    >>> w = minicnn.Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    >>> w.name = "w"
    >>> print(minicnn.inspect.tape((w.exp() * 3.0).sum()))
    op      output  reads  saves
    #3 sum  ()      #2     -
    #2 mul  (1, 2)  #1     () 8 B
    #1 exp  (1, 2)  w      (1, 2) 16 B
    3 ops, 1 leaf of 2 elements, 24 B saved
    """
    names = _names(model)
    if tensor.node is None:
        return f"{_leaf_name(tensor, names)}: no recorded op made this tensor"
    nodes = _youngest_first(tensor.node)
    numbers = {node: len(nodes) - i for i, node in enumerate(nodes)}
    rows = [("op", "output", "reads", "saves")]
    for node in nodes:
        reads = [f"#{numbers[t.node]}" if t.node else _leaf_name(t, names) for t in _inputs(node)]
        saves = ", ".join(str(array.shape) for array in node.saved)
        rows.append((
            f"#{numbers[node]} {node.name}",
            str(node.shape),
            ", ".join(reads) if node.pairs else "freed by backward()",
            f"{saves} {_size(_bytes(node.saved))}" if saves else "-",
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows]
    return "\n".join([*lines, _summary(nodes)])


def _names(model: Module | None) -> dict[Tensor, str]:
    return {} if model is None else {parameter: name for name, parameter in model.named_parameters()}


def _leaf_name(leaf: Tensor, names: dict[Tensor, str]) -> str:
    return getattr(leaf, "name", None) or names.get(leaf) or f"leaf {leaf.shape}"


def _inputs(node: Node) -> list[Tensor]:
    return list(dict.fromkeys(tensor for tensor, _ in node.pairs or ()))


def _youngest_first(root: Node) -> list[Node]:
    found, waiting = {root}, [root]
    while waiting:
        new = {tensor.node for tensor in _inputs(waiting.pop()) if tensor.node} - found
        found |= new
        waiting += new
    return sorted(found, key=lambda node: -node.age)


def _bytes(arrays: Iterable[Array]) -> int:
    places: dict[int, int] = {}
    for array in arrays:
        place = array.__array_interface__["data"][0]
        places[place] = max(places.get(place, 0), array.nbytes)  # views of one array count once
    return sum(places.values())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _summary(nodes: list[Node]) -> str:
    leaves = {tensor for node in nodes for tensor in _inputs(node) if tensor.node is None}
    elements = sum(leaf.size for leaf in leaves)
    saved = _size(_bytes(array for node in nodes for array in node.saved))
    ops = f"{len(nodes)} op{'s' * (len(nodes) != 1)}"
    return f"{ops}, {len(leaves)} lea{'f' if len(leaves) == 1 else 'ves'} of {elements:,} elements, {saved} saved"


# ------------------------------------------------------------------------------------------- the picture

# Everything is measured in inches; in a monospaced font one knows how long a text is.
TEXT, LINE, CHAR = 8, 0.15, 8 * 0.602 / 72  # font size in points, height of a line, width of a character
ROW, GAP, MARGIN = 0.85, 0.3, 0.3
MOST_OPS = 1000


class _Box:
    """An op with its leaves at its right side, or (``node`` is None) the place where an edge passes a row."""

    def __init__(self, node: Node | None, row: int, leaves: list[str]) -> None:
        self.node, self.row, self.leaves = node, row, leaves
        self.above: list[_Box] = []
        self.below: list[_Box] = []
        self.text = [node.name, str(node.shape)] if node else []
        if node and node.saved:
            self.text.append(f"saves {_size(_bytes(node.saved))}")
        self.width = _width(self.text)
        self.right = self.width / 2 + (GAP + _width(leaves) if leaves else 0)  # from the middle of the op
        self.x = 0.0


def _width(lines: list[str]) -> float:
    return max(map(len, lines)) * CHAR + 0.16 if lines else 0.0


def draw_tape(tensor: Tensor, path: str | Path, model: Module | None = None) -> None:
    """Draw the tape that leads to ``tensor``: data flows down, backward() walks up against the arrows.

    Parameters
    ----------
    tensor : Tensor
        Made by a recorded op that ``backward()`` has not walked through yet.
    path : str or Path
        A ``.png``, ``.jpg``, ``.svg`` or ``.pdf`` file.
    model : Module, optional
        Gives the leaves the names of its parameters, as in ``tape``.

    Raises
    ------
    OptionError
        If nothing was recorded, the ops are more than 1000, or the file's ending is unknown.
    SaveError
        If the file cannot be written.
    MissingExtraError
        Without matplotlib: ``pip install 'minicnn[all]'``.

    Examples
    --------
    >>> import numpy as np, minicnn, minicnn.inspect, tempfile, pathlib
    >>> w = minicnn.Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "tape.svg"
    >>> minicnn.inspect.draw_tape((w.exp() * 3.0).sum(), path)
    >>> path.exists()
    True
    """
    check_ending(path)
    if tensor.node is None or tensor.node.pairs is None:
        raise OptionError("draw_tape: tensor must come from a recorded op not yet walked through, got neither")
    nodes = _youngest_first(tensor.node)
    if len(nodes) > MOST_OPS:
        raise OptionError(f"draw_tape: at most {MOST_OPS} ops can be drawn, got {len(nodes)}; print tape() instead")

    save(_picture(nodes, _names(model)), path)


def _picture(nodes: list[Node], names: dict[Tensor, str]) -> Any:
    figures, patches = import_extra("matplotlib.figure", "draw_tape"), import_extra("matplotlib.patches", "draw_tape")
    rows = _layers(nodes, names)
    _place(rows)
    summary = _summary(nodes)
    boxes = [box for row in rows for box in row]
    left = min(box.x - box.width / 2 for box in boxes) - MARGIN
    width = max(max(box.x + box.right for box in boxes) + MARGIN - left, len(summary) * CHAR + 2 * MARGIN)
    height = len(rows) * ROW + MARGIN
    figure = figures.Figure(figsize=(width, height), dpi=min(150, 60_000 / max(width, height)))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, left + width), ylim=(-MARGIN, height - MARGIN))
    axes.set_axis_off()
    font = {"family": "DejaVu Sans Mono", "size": TEXT, "va": "center"}
    axes.text(left + MARGIN, -MARGIN / 2, summary, color="0.35", **font)

    def frame(x: float, y: float, lines: list[str], colour: str) -> None:
        tall = len(lines) * LINE + 0.1
        corner = (x - _width(lines) / 2, y - tall / 2)
        axes.add_patch(patches.Rectangle(corner, _width(lines), tall, facecolor=colour, edgecolor="0.35", lw=0.8))
        axes.text(x, y, "\n".join(lines), ha="center", linespacing=LINE * 72 / TEXT / 1.164, **font)

    def arrow(points: list[tuple[float, float]]) -> None:
        axes.plot(*zip(*points, strict=True), color="0.35", lw=0.8, solid_joinstyle="round", zorder=0)
        style = {"arrowstyle": "-|>", "color": "0.35", "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
        axes.annotate("", points[-1], points[-2], arrowprops=style)

    for box in boxes:
        if box.node is None:
            continue
        y, half = (box.row + 0.5) * ROW, (len(box.text) * LINE + 0.1) / 2
        frame(box.x, y, box.text, "#dbe7f3")
        if box.leaves:
            middle = box.x + box.right - _width(box.leaves) / 2
            frame(middle, y, box.leaves, "#fbf0d0")
            arrow([(middle - _width(box.leaves) / 2, y), (box.x + box.width / 2, y)])
        for points in _edges_into(box):
            arrow([*points, (box.x, y + half)])
    return figure


def _layers(nodes: list[Node], names: dict[Tensor, str]) -> list[list[_Box]]:
    """Sort the ops into rows, the youngest in row 0; an edge that passes rows gets a place in each."""
    row_of = dict.fromkeys(nodes, 0)
    for node in nodes:  # youngest first: when a node's turn comes, its row is final
        for tensor in _inputs(node):
            if tensor.node:
                row_of[tensor.node] = max(row_of[tensor.node], row_of[node] + 1)
    rows: list[list[_Box]] = [[] for _ in range(max(row_of.values()) + 1)]
    boxes = {}
    for node in nodes:
        leaves = [_leaf_name(tensor, names) for tensor in _inputs(node) if tensor.node is None]
        if len(leaves) > 3:  # no box is taller than an op's
            leaves[2:] = [f"and {len(leaves) - 2} more"]
        boxes[node] = _Box(node, row_of[node], leaves)
        rows[row_of[node]].append(boxes[node])
    for node in nodes:
        for tensor in _inputs(node):
            if tensor.node:
                lower = boxes[node]
                for row in range(lower.row + 1, row_of[tensor.node]):
                    passing = _Box(None, row, [])
                    rows[row].append(passing)
                    _join(passing, lower)
                    lower = passing
                _join(boxes[tensor.node], lower)
    return rows


def _join(upper: _Box, lower: _Box) -> None:
    lower.above.append(upper)
    upper.below.append(lower)


def _place(rows: list[list[_Box]]) -> None:
    """Order each row by where its neighbours stand, then move all boxes as near to them as there is room."""
    for row in rows:
        _spread(row, [0.0] * len(row))
    for sweep in range(16):
        upwards = sweep % 2 == 0
        for row in rows if upwards else rows[::-1]:
            targets = [_mean_x(box.below if upwards else box.above, box.x) for box in row]
            if sweep < 12:
                row[:] = [row[i] for i in sorted(range(len(row)), key=targets.__getitem__)]
                targets.sort()
            _spread(row, targets)


def _mean_x(neighbours: list[_Box], otherwise: float) -> float:
    return sum(box.x for box in neighbours) / len(neighbours) if neighbours else otherwise


def _spread(row: list[_Box], targets: list[float]) -> None:
    """Set x as near to the targets as it goes (least squares) without overlap, in the order of the row.

    Boxes that would overlap stick together and share what they miss: isotonic regression.
    """
    offsets = list(accumulate((a.right + GAP + b.width / 2 for a, b in pairwise(row)), initial=0.0))
    groups: list[tuple[float, int]] = []  # (mean of target - offset, number of boxes), the means rising
    for target, offset in zip(targets, offsets, strict=True):
        mean, size = target - offset, 1
        while groups and groups[-1][0] > mean:
            other, count = groups.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        groups.append((mean, size))
    places = [mean for mean, size in groups for _ in range(size)]
    for box, offset, place in zip(row, offsets, places, strict=True):
        box.x = offset + place


def _edges_into(box: _Box) -> Iterator[list[tuple[float, float]]]:
    """Yield the points of each edge into the box, downwards, the last one (the box's own) left out."""
    for upper in box.above:
        points = []
        while upper.node is None:
            points += [(upper.x, (upper.row + 0.15) * ROW), (upper.x, (upper.row + 0.85) * ROW)]
            upper = upper.above[0]
        points.append((upper.x, (upper.row + 0.5) * ROW - (len(upper.text) * LINE + 0.1) / 2))
        yield points[::-1]
