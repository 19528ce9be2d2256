"""Bring files of weights and networks together: of which network a file is, and where each of its arrays belongs.

``create(name, weights=path)`` does it all; here are its steps. ``recognise`` finds out the form and the options that a
file needs, ``gather`` finds each array of a network in a file, ``load`` copies them into it; ``convert`` writes them
under our own names, with all that belongs to them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import models, nn, weights
from minicnn.autograd import Array, Tensor
from minicnn.errors import LoadError, MiniCNNError, StateError
from minicnn.files import replacing
from minicnn.nn.module import LoadReport
from minicnn.weights import layouts, names, safetensors_file
from minicnn.weights.names import Place
from minicnn.weights.source import Source, sha256

VERSION = "1"
NUMBERED = ("keras", "caffe")  # formats that number the arrays of a layer
SHORTCUTS = ("A", "B", "C")


@dataclass(frozen=True)
class Recognised:
    """What a file of weights is of.

    Attributes
    ----------
    form : str
    options : dict
        Of ``create``, as far as they differ from what it takes by default.
    how : list of str
        How each was found out.
    """

    form: str
    options: dict[str, Any]
    how: list[str]


# ----------------------------------------------------------------------------------------- what a file is of


def recognise(name: str, source: Source, form: str | None = None) -> Recognised:
    """Find out which form of a network a file has the weights of, and what options that network needs.

    Parameters
    ----------
    name : str
        Of the network, as in ``create``.
    source : Source
    form : str, optional
        If it is known.

    Returns
    -------
    Recognised
        The form from the names in the file; the width, the classes and the channels from the shapes of the first and
        the last array; whether there is a top, are auxiliary heads, which shortcut, from what is there.

    Raises
    ------
    LoadError
        If these are the weights of another network, or of none that is known.

    Examples
    --------
    >>> import tempfile
    >>> from minicnn import models, weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/my.npz", **models.create("lenet5", num_classes=26).state_dict())
    ...     found = recognise("lenet5", weights.open(f"{folder}/my.npz"))
    >>> found.form, found.options
    ('modern', {'num_classes': 26})
    """
    architecture = models.ARCHITECTURES[name]
    said = source.metadata.get("model")
    if said is not None and "minicnn" in source.metadata:
        if said != name:
            raise LoadError(source.path, f"holds the weights of {said!r}, not of {name!r}")
        own = source.metadata.get("form", "")
        if form not in (None, own) or own not in architecture.forms:
            raise LoadError(source.path, f"holds the weights of {said!r} in the form {own!r}, not {form!r}")
        return Recognised(own, _metadata(source, "options", dict), ["the file says so: minicnn wrote it"])
    found = [
        fit
        for candidate in architecture.forms
        if form in (None, candidate)
        for fit in _fits(name, candidate, source, {})
    ]
    # The default stands first among those that fit equally well: then names cannot tell forms apart.
    found.sort(key=lambda fit: (-fit.share, fit.form != architecture.default))
    if not found or found[0].share < 0.5:
        few = ", ".join(list(source)[:3])
        wanted = f"{name!r} in the form {form!r}" if form else repr(name)
        raise LoadError(
            source.path,
            f"holds no weights of {wanted} that can be told by their names ({few}, ...)"
            + _guess("; they look like those of", source),
        )
    best = found[0]
    if "shortcut" in architecture.options and not best.whole:
        better = [fit for kind in SHORTCUTS for fit in _fits(name, best.form, source, {"shortcut": kind}) if fit.whole]
        best = better[0] if better else best
    return Recognised(best.form, *best.options())


def build(name: str, source: Source, found: Recognised, **options: Any) -> Any:
    """Make the network that a file needs, its weights not drawn but 0.

    Parameters
    ----------
    name : str
    source : Source
    found : Recognised
    **options
        Of ``create``, before those that were found out.

    Raises
    ------
    LoadError
        If there is no such network: the file lies, or was tampered with.
    OptionError
        If one of ``options`` is wrong.
    """
    try:
        with nn.init.using(nn.init.zeros):
            return models.create(name, form=found.form, **{**found.options, **options})
    except (MiniCNNError, MemoryError, ValueError, TypeError, OverflowError) as error:
        if options:
            raise
        raise LoadError(source.path, f"asks for a network that cannot be: {str(error) or 'it is too large'}") from None


@dataclass(frozen=True)
class _Fit:
    """How a file fits to a form whose options are the default ones."""

    form: str
    model: Any
    own: Mapping[str, Tensor]
    found: Mapping[str, Place]
    source: Source
    given: Mapping[str, Any]

    @property
    def share(self) -> float:
        return sum(place.name in self.source for place in self.found.values()) / len(self.own)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or left over, heads aside."""
        used = {name for place in self.found.values() for name in (place.name, place.divisor, place.subtrahend)}
        there = all(p.name in self.source for ours, p in self.found.items() if not self._is_head(ours))
        return there and all(name in used or name.endswith(names.IGNORED) for name in self.source)

    def _is_head(self, ours: str) -> bool:
        return self._is_last(ours) or ours.partition(".")[0] in getattr(self.model, "heads", {}).values()

    def _is_last(self, ours: str) -> bool:
        return ours.partition(".")[0] == _last(self.model)

    def shape(self, ours: str) -> tuple[int, ...] | None:
        """Return the shape that an array has in the file, in our order."""
        place = self.found.get(ours)
        if place is None or place.name not in self.source:
            return None
        shape = self.source[place.name].shape
        if self.source.format == "keras" and len(shape) == 4:
            return (shape[3], shape[2], *shape[:2])
        return shape

    def options(self) -> tuple[dict[str, Any], list[str]]:
        """Read the options off the shapes."""
        options, how = dict(self.given), []
        there = sum(place.name in self.source for place in self.found.values())
        how.append(f"form {self.form}: {there} of the {len(self.source)} arrays have the names that it has")
        how += [f"shortcut {kind}: only with it are all names known" for kind in self.given.values()]
        first, last = next(iter(self.own)), f"{_last(self.model)}.bias"
        shape = self.shape(first)
        if shape is not None and shape[2:] == self.own[first].shape[2:] != ():
            count, channels = self.own[first].shape[0], getattr(self.model, "in_channels", shape[1])
            if shape[0] != count and hasattr(self.model, "width"):
                options["width"] = shape[0] / count
                how.append(f"width {options['width']:g}: the first layer has {shape[0]} maps instead of {count}")
            if shape[1] != channels:
                options["in_channels"] = shape[1]
                how.append(f"in_channels {shape[1]}: so many go into the first layer")
        head = self.shape(last)
        top = [self.shape(ours) for ours in self.own if self._is_last(ours)]
        if not any(top) and hasattr(self.model, "include_top"):
            options["include_top"] = False
            how.append("no top: the last layer is not in the file")
        elif head is not None and head[-1] != self.model.num_classes:
            options["num_classes"] = head[-1]
            how.append(f"num_classes {head[-1]}: the last layer has so many outputs")
        if getattr(self.model, "heads", None) and all(self.shape(ours) for ours in self.own if ours.startswith("aux")):
            options["aux"] = True
            how.append("auxiliary heads: they are in the file")
        return options, how


def _fits(name: str, form: str, source: Source, given: dict[str, Any]) -> list[_Fit]:
    """Compare a file with every table of names that a form has, and with our own names."""
    options = models.ARCHITECTURES[name].options
    with nn.init.using(nn.init.zeros):
        model: Any = models.create(name, form=form, **given, **({"aux": True} if "aux" in options else {}))
    own = tensors(model)
    return [_Fit(form, model, own, found, source, given) for found in _places(model, own, source)]


def _places(model: Any, own: Mapping[str, Tensor], source: Source) -> list[dict[str, Place]]:
    """Say where our arrays would be, by every table that there is for the form, and by our own names."""
    numbered = source.format in NUMBERED
    tables = names.TABLES.get((model.name, model.form.name), ())
    return [{ours: Place(ours) for ours in own}, *(names.places(t, own, numbered=numbered) for t in tables)]


def tensors(model: Any) -> dict[str, Tensor]:
    """Return a model's parameters and buffers by name, without the copies that ``state_dict`` makes."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _last(model: Any) -> str:
    """Return the name of the stage that gives the logits."""
    *_, (name, _) = model.named_children()
    return str(name)


def _metadata(source: Source, key: str, kind: type) -> Any:
    try:
        value = json.loads(source.metadata.get(key, "null"))
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise LoadError(source.path, f"its metadata say nothing sound about {key}")
    return value


# ----------------------------------------------------------------------------------------- each array to its place


@dataclass(frozen=True)
class Gathered:
    """The arrays of a network as a file has them.

    Attributes
    ----------
    arrays : dict of our name to array
        In our order, maybe read-only views of the file.
    report : LoadReport
        What does not fit; names are those of the file.
    notes : list of str
        What was left aside, and what is strange: a NaN.
    """

    arrays: dict[str, Array]
    report: LoadReport
    notes: list[str]

    def fill(self, model: Any) -> None:
        """Copy the arrays into a network."""
        own = tensors(model)
        for ours, array in self.arrays.items():
            nn.init.fill(own[ours], array)


def gather(model: Any, source: Source, *, strict: bool = True) -> Gathered:
    """Find each array of a network in a file, and read it.

    Parameters
    ----------
    model : Module
        Of ``create``.
    source : Source
    strict : bool
        Whether an array that is missing, left over, or of another shape is an error.

    Raises
    ------
    StateError
        If ``strict`` and the file does not fit; the message lists every name that does not.
    LoadError
        If the file is damaged.
    """
    own = tensors(model)
    found = max(_places(model, own, source), key=lambda places: sum(p.name in source for p in places.values()))
    theirs = {place.name: ours for ours, place in found.items()}
    notes = list(source.notes)
    beside = {name for place in found.values() for name in (place.divisor, place.subtrahend)}
    skipped = [name for name in source if name not in theirs and name not in beside and _is_left_out(model, name, own)]
    if skipped:
        parts = ", ".join(dict.fromkeys(name.replace("/", ".").partition(".")[0] for name in skipped))
        notes.append(f"{len(skipped)} arrays of parts that this network is without were left: {parts}")
    given: dict[str, Any] = {}
    for name, entry in source.items():
        if name in theirs and entry.dtype.kind == "f":
            ours = theirs[name]
            fits = layouts.fits(entry.shape, own[ours].shape, source.format, found[ours].layout)
            given[name] = np.broadcast_to(own[ours].array.dtype.type(0), own[ours].shape if fits else entry.shape)
        elif name not in skipped and name not in beside and not name.endswith(names.IGNORED):
            given[name] = np.broadcast_to(np.zeros((), entry.dtype), entry.shape)
    missing = {ours: Place(ours) for ours in own if ours not in found}
    report = LoadReport.of({place.name: own[ours] for ours, place in (found | missing).items()}, given)
    if strict and not report.ok:
        raise StateError(
            f"{source.path}: nothing was loaded into {model.name} ({model.form.name}); by the names in the file, "
            f"{report}\n(strict=False, --no-strict, loads what fits; include_top=False leaves the last layers out)"
        )
    arrays = {}
    for name in report.loaded:
        ours = theirs[name]
        array = _read(source, found[ours], own[ours].shape)
        with np.errstate(all="ignore"):
            total = np.sum(array, dtype=np.float64)  # one pass and no memory, where all is well
        if not np.isfinite(total) and not np.isfinite(array).all():
            notes.append(f"{name} has {array.size - np.isfinite(array).sum():,} numbers that are NaN or infinite")
        arrays[ours] = array
    return Gathered(arrays, report, notes)


def _read(source: Source, place: Place, shape: tuple[int, ...]) -> Array:
    """Read an array and what belongs to it, in our order."""
    array = layouts.ours(source[place.name].read(), shape, source.format, place.layout)
    if array is None:
        raise LoadError(source.path, f"{place.name}: is not as it was when the file was opened")
    if place.divisor in source:
        divisor = source[place.divisor].read().ravel()
        if divisor.size != 1:
            raise LoadError(source.path, f"{place.divisor}: one number is expected, got {divisor.size:,}")
        # Caffe writes 0 where nothing was summed yet, and so do we read it.
        array = np.asarray(array / divisor[0] if divisor[0] else array * 0)
    if place.subtrahend in source:
        bias = source[place.subtrahend].read().reshape(-1)
        if bias.shape != shape:
            raise LoadError(source.path, f"{place.subtrahend}: {shape[0]} numbers are expected, got {bias.size:,}")
        array = array - bias
    return array


def _is_left_out(model: Any, theirs: str, own: Mapping[str, Tensor]) -> bool:
    """Tell whether an array belongs to the top or a head that this network was made without."""
    if getattr(model, "include_top", True) and getattr(model, "aux", True):
        return False
    tables = names.TABLES.get((model.name, model.form.name), ())
    stage = theirs.partition(".")[0]
    known = {name for name, _ in model.named_children()}
    ours = stage not in known and (stage.startswith(("fc", "aux")))
    return ours or any(names.left_out(table, theirs, own) for table in tables)


def load(model: Any, source: str | Path | Source, *, strict: bool = True) -> LoadReport:
    """Copy the weights of a file into a network.

    Parameters
    ----------
    model : Module
        Of ``create``.
    source : path or Source
    strict : bool
        True: if one array does not fit, nothing at all is loaded. False: load those that fit; a warning says what
        was left.

    Returns
    -------
    LoadReport
        What was loaded and what not; names are those of the file.

    Raises
    ------
    StateError
        If ``strict`` and the file does not fit; the message lists every name that does not.
    LoadError
        If the file is damaged.

    Warns
    -----
    UserWarning
        If weights are NaN or infinite, or something was left with ``strict=False``.

    Examples
    --------
    >>> import tempfile
    >>> from minicnn import models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/my.npz", **models.create("lenet5").state_dict())
    ...     report = load(models.create("lenet5"), f"{folder}/my.npz")
    >>> len(report.loaded), report.ok
    (10, True)
    """
    file = opened(source)
    gathered = gather(model, file, strict=strict)
    gathered.fill(model)
    strange = [note for note in gathered.notes if note.endswith("infinite")]
    if not gathered.report.ok:
        strange.append(f"not everything was loaded: {gathered.report}")
    for note in strange:
        warnings.warn(f"{file.path}: {note}", stacklevel=2)
    return gathered.report


def opened(source: str | Path | Source) -> Source:
    """Open a file, if it is not open yet."""
    return source if isinstance(source, Source) else weights.open(source)


def model_of(source: Source) -> str:
    """Return the name of the network that a file of ours is of.

    Raises
    ------
    LoadError
        If it is no file of ours; if it can be guessed, the message says whose weights these are.
    """
    said = source.metadata.get("model", "")
    if said in models.ARCHITECTURES:
        return said
    raise LoadError(
        source.path,
        "does not say of which network it is, as files do that `minicnn convert` writes"
        + _guess("; by its names it is", source),
    )


def _guess(words: str, source: Source) -> str:
    """Say of which networks a file may be: the end of a message, empty if its names tell nothing."""
    guessed = " or ".join(dict.fromkeys(model for model, _ in names.whose(source)))
    return f"{words} {guessed}" if guessed else ""


def classes(source: Source, model: Any) -> tuple[str, ...]:
    """Return the names of a network's classes: those that its file tells, or those of its form."""
    if "classes" not in source.metadata:
        return tuple(model.classes)
    said = tuple(map(str, _metadata(source, "classes", list)))
    return said if len(said) == model.num_classes else ()


# ----------------------------------------------------------------------------------------- our own files


def convert(
    source: str | Path, name: str, out: str | Path, *, form: str | None = None, strict: bool = True
) -> tuple[Recognised, list[str]]:
    """Write the weights of a file as safetensors under our names, with all that one must know to use them.

    The metadata tell the model, its form and options, the preprocessing, the names of the classes, the file that they
    come from and its SHA-256. Arrays go from file to file; only what must be turned round passes through memory.

    Parameters
    ----------
    source : path
    name : str
        Of the network, as in ``create``.
    out : path
    form : str, optional
        If it is not to be found out.
    strict : bool
        As in ``load``.

    Returns
    -------
    (Recognised, list of str)
        What it was found to be and how, and what was left aside.

    Raises
    ------
    LoadError, StateError, SaveError
    """
    file = weights.open(source)
    known = recognise(name, file, form)
    model = build(name, file, known)
    gathered = gather(model, file, strict=strict)
    own = tensors(model)
    notes = gathered.notes + ([] if gathered.report.ok else [f"what does not fit was left: {gathered.report}"])
    arrays = gathered.arrays
    for ours in arrays:  # one by one, so that what is turned round is not there twice
        arrays[ours] = np.asarray(arrays[ours], own[ours].dtype, order="C")
    facts = {
        "minicnn": VERSION,
        "model": name,
        "form": known.form,
        "options": json.dumps(known.options),
        "source": Path(source).name,
        "sha256": sha256(source),
    }
    if hasattr(model.form.preprocess, "mean"):
        facts["preprocessing"] = json.dumps(asdict(model.form.preprocess))
    called = classes(file, model)
    if called:
        facts["classes"] = json.dumps(called)
    with replacing(out) as temporary:
        safetensors_file.write(temporary, arrays, facts)
    return known, notes
