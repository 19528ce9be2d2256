"""How two forms of an architecture differ: options of layers, counts, what stands around them, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from minicnn import models, nn
from minicnn.inspect.summary import summary


@dataclass(frozen=True)
class Difference:
    """One difference: what it is, in one form and in the other, and at which layers (none: it is the network's)."""

    what: str
    first: str
    second: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Differences:
    """All differences of two forms; ``str()`` makes a table of them, with the sources below."""

    title: str
    forms: tuple[str, str]
    rows: tuple[Difference, ...]
    sources: Mapping[str, tuple[tuple[str, str], ...]]

    def __str__(self) -> str:
        cells = [("", *self.forms, "")]
        for row in self.rows:
            where = ", ".join(row.layers[:3]) + (f" and {len(row.layers) - 3} more" if len(row.layers) > 3 else "")
            cells.append((row.what, row.first, row.second, where))
        widths = [max(len(row[column]) for row in cells) for column in range(3)]
        lines = [self.title]
        lines += [
            "  ".join((*(c.ljust(w) for c, w in zip(row[:3], widths, strict=True)), row[3])).rstrip() for row in cells
        ]
        for form, reasons in self.sources.items():
            lines += ["", f"What differs from the paper in form {form}:"]
            lines += [f"  {what} ({source})" for what, source in reasons]
        return "\n".join(lines)


def diff(name: str, first: str, second: str, **options: Any) -> Differences:
    """List every difference of two forms of an architecture.

    Parameters
    ----------
    name, first, second : str
        An architecture and two of its forms.
    **options
        Of ``models.create``, for both.

    Returns
    -------
    Differences
        ``print`` it: options of layers (kernel, stride, padding, eps, dropout, ...) with the layers that have them,
        layers that only one form has, counts, preprocessing, recipe; then each form's own list with sources.

    Raises
    ------
    OptionError
        If a name or an option is unknown.

    Examples
    --------
    >>> import minicnn
    >>> for row in minicnn.diff("alexnet", "paper", "ungrouped").rows:
    ...     print(row.what, row.first, row.second, *row.layers)
    parameters 60,965,224 62,378,344
    multiply-adds 724,406,816 1,135,256,096
    Conv2d groups 2 1 conv2.conv conv4.conv conv5.conv
    """
    with nn.init.using(nn.init.zeros):
        networks: list[Any] = [models.create(name, form=form, **options) for form in (first, second)]
    one, other = ({path: m for path, m in model.named_modules() if not any(m.children())} for model in networks)
    rows = [*_counts(networks), *_around(networks)]
    changed: dict[tuple[str, str, str], list[str]] = {}
    for path in (path for path in one if path in other):
        ours, theirs = one[path], other[path]
        if type(ours) is not type(theirs):
            changed.setdefault(("layer", ours.call(), theirs.call()), []).append(path)
            continue
        a, b = ours.options(), theirs.options()
        for option in (option for option in a if a[option] != b[option]):
            what = f"{type(ours).__name__} {option}"
            changed.setdefault((what, str(a[option]), str(b[option])), []).append(path)
    for path in (path for path in one if path not in other):
        changed.setdefault((type(one[path]).__name__, one[path].call(sizes=False), "-"), []).append(path)
    for path in (path for path in other if path not in one):
        changed.setdefault((type(other[path]).__name__, "-", other[path].call(sizes=False)), []).append(path)
    rows += [Difference(*key, tuple(paths)) for key, paths in changed.items()]
    sources = {form: model.form.differs for form, model in zip((first, second), networks, strict=True)}
    return Differences(name, (first, second), tuple(rows), {form: s for form, s in sources.items() if s})


def _counts(networks: list[Any]) -> list[Difference]:
    rows = [summary(model)[""] for model in networks]
    pairs = {
        "parameters": [row.parameters for row in rows],
        "running statistics": [sum(buffer.size for buffer in model.buffers()) for model in networks],
        "multiply-adds": [row.multiply_adds for row in rows],
    }
    return [Difference(what, f"{a:,}", f"{b:,}") for what, (a, b) in pairs.items() if a != b]


def _around(networks: list[Any]) -> list[Difference]:
    """What belongs to the forms and not to a layer: preprocessing and the recipe."""
    facts: list[dict[str, Any]] = []
    for model in networks:
        before = model.form.preprocess
        known = (
            {f"preprocess {f.name}": getattr(before, f.name) for f in fields(before)} if is_dataclass(before) else {}
        )
        facts.append({**known, **{f"recipe {key}": value for key, value in model.form.recipe().items()}})
    names = [*facts[0], *(name for name in facts[1] if name not in facts[0])]
    a, b = facts
    return [Difference(n, str(a.get(n, "-")), str(b.get(n, "-"))) for n in names if a.get(n, "-") != b.get(n, "-")]
