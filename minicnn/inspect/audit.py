"""Check a file of weights, and where a network answers otherwise than it should, find out why.

Weights that were converted with one mistake give plausible garbage: every shape fits. The mistakes are few and known,
so each of them is tried: where the zeros of a padding stand, whether means at the border count them, which eps a batch
norm has, in which order maps were flattened, the order of colours, which convolution of a block has the stride.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import nn, weights
from minicnn.autograd import Array, no_grad
from minicnn.errors import LoadError, ShapeError
from minicnn.models import pretrained
from minicnn.models.resnet import Residual

TOLERANCE = 1e-3  # largest difference, as a share of the standard deviation of what is expected
MOST_CAUSES = 4  # that may hold together

Change = tuple[Any, str, Any]  # of an object, the attribute, its new value
Cause = Callable[[Any], dict[str, list[Change]]]


@dataclass(frozen=True)
class Audit:
    """What an audit found; ``str()`` tells it.

    Attributes
    ----------
    facts : tuple of str
        What the file is, and what was left aside.
    faults : tuple of str
        What is wrong.
    departs : str or None
        The first stage whose output is not the expected one.
    causes : tuple of str
        What makes all stages agree: the network has it the other way; empty if nothing does, or nothing needs to.
    """

    facts: tuple[str, ...]
    faults: tuple[str, ...]
    departs: str | None = None
    causes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults and self.departs is None

    def __str__(self) -> str:
        lines = [*self.facts, *(f"FAULT: {fault}" for fault in self.faults)]
        if self.departs is not None:
            lines.append(f"FAULT: {self.departs}")
            lines += [f"  it agrees with {cause}" for cause in self.causes]
            lines += ["  no known cause, nor some of them together, makes it agree"] if not self.causes else []
        return "\n".join([*lines, "sound" if self.ok else "not sound"])


def audit(name: str, path: str | Path, *, form: str | None = None, against: str | Path | None = None) -> Audit:
    """Check a file of weights.

    Parameters
    ----------
    name : str
        Of the network, as in ``models.create``.
    path : path
        The file, whoever wrote it.
    form : str, optional
        If it is not to be found out.
    against : path, optional
        An ``.npz`` file with ``images``, (N, C, H, W) as the network takes them, and what it should answer: outputs of
        stages by their names (``minicnn summary`` lists them), or ``logits``. ``stage_outputs`` gives such a dict.

    Returns
    -------
    Audit

    Raises
    ------
    LoadError
        If a file is damaged, is of another network, or the reference does not fit it.

    Examples
    --------
    >>> import tempfile
    >>> from minicnn import models
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/my.npz", **models.create("lenet5").state_dict())
    ...     print(audit("lenet5", f"{folder}/my.npz"))
    form modern: 10 of the 10 arrays have the names that it has
    sound
    """
    source = weights.open(path)
    found = pretrained.recognise(name, source, form)
    model = pretrained.build(name, source, found)
    gathered = pretrained.gather(model, source, strict=False)
    faults = [] if gathered.report.ok else [str(gathered.report)]
    faults += [note for note in gathered.notes if note.endswith("infinite")]
    faults += _statistics(gathered.arrays) + _constants(gathered.arrays)
    facts = (*found.how, *(note for note in gathered.notes if not note.endswith("infinite")))
    if against is None or faults:
        return Audit(facts, tuple(faults))
    gathered.fill(model)
    departs, causes = _compare(against, model.eval(), _reference(against, model))
    return Audit(facts, (), departs, causes)


# ----------------------------------------------------------------------------------------- the numbers alone


def _statistics(arrays: dict[str, Array]) -> list[str]:
    """Say which running statistics of batch norms cannot be any."""
    found, untouched = [], 0
    norms = [name.removesuffix(".running_var") for name in arrays if name.endswith(".running_var")]
    for norm in norms:
        mean, var = arrays[f"{norm}.running_mean"], arrays[f"{norm}.running_var"]
        untouched += bool((mean == 0).all() and (var == 1).all())
        if (var < 0).any():
            swapped = "; it and the mean seem to have changed places" if (mean >= 0).all() else ""
            found.append(f"{norm}: the running variance is negative in {int((var < 0).sum())} channels{swapped}")
        elif (var == 0).all():
            found.append(f"{norm}: the running variance is 0 everywhere")
    if untouched and untouched == len(norms):
        found.append(
            "every batch norm has the mean 0 and the variance 1: it was never trained, or statistics were lost"
        )
    return found


def _constants(arrays: dict[str, Array]) -> list[str]:
    return [
        f"{name} is {array.flat[0]:g} everywhere"
        for name, array in arrays.items()
        if array.ndim > 1 and array.size > 1 and (array == array.flat[0]).all()
    ]


# ----------------------------------------------------------------------------------------- beside a reference


def stage_outputs(model: Any, images: Array) -> dict[str, Array]:
    """Run a network and return what each of its stages gives, and ``images``: ``np.savez(path, **that)`` keeps it.

    Examples
    --------
    >>> from minicnn import models
    >>> outputs = stage_outputs(models.create("lenet5"), np.zeros((1, 1, 32, 32), np.float32))
    >>> list(outputs)
    ['images', 'C1', 'S2', 'C3', 'S4', 'C5', 'F6', 'output', 'logits']
    """
    found = {"images": images}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: found.__setitem__(name, output.numpy())

    with ExitStack() as hooks, model.inference(), no_grad():
        for name, stage in model.named_children():
            hooks.enter_context(stage.register_forward_hook(keep(name)))
        found["logits"] = model(images).numpy()
    return found


def _reference(path: str | Path, model: Any) -> dict[str, Array]:
    """Read what a network should answer."""
    source = weights.open(path)
    known = ["images", *(name for name, _ in model.named_children()), "logits"]
    reference = {name: np.asarray(source[name].read(), np.float32) for name in known if name in source}
    if "images" not in reference or len(reference) < 2:
        raise LoadError(
            path, f"must hold `images` and at least one of {', '.join(known[1:])}; it has {', '.join(source)}"
        )
    return reference


def _errors(model: Any, reference: dict[str, Array]) -> dict[str, float]:
    """Return by how much each stage departs, as a share of the standard deviation of what is expected."""
    answers = stage_outputs(model, reference["images"])
    errors = {}
    for name, expected in reference.items():
        if name == "images":
            continue
        got = answers[name].reshape(expected.shape) if answers[name].size == expected.size else None
        scale = max(float(expected.std()), 1e-12)
        errors[name] = np.inf if got is None else float(np.nan_to_num(np.abs(got - expected).max() / scale, nan=np.inf))
    return errors


def _agreeing(errors: dict[str, float]) -> int:
    """Return how many stages agree before the first that does not."""
    wrong = [place for place, error in enumerate(errors.values()) if error > TOLERANCE]
    return wrong[0] if wrong else len(errors)


def _compare(path: str | Path, model: Any, reference: dict[str, Array]) -> tuple[str | None, tuple[str, ...]]:
    """Name the first stage that departs, and the causes that together make every stage agree."""
    try:
        errors = _errors(model, reference)
    except ShapeError as wrong:
        raise LoadError(path, str(wrong)) from wrong
    agreeing = _agreeing(errors)
    if agreeing == len(errors):
        return None, ()
    name, error = list(errors.items())[agreeing]
    told = f"{name} departs by {error:.2g} of the standard deviation" + (
        f", after {agreeing} stages that agree" if agreeing else ""
    )
    causes: list[str] = []
    with ExitStack() as kept:
        while agreeing < len(errors) and len(causes) < MOST_CAUSES:
            best: tuple[int, str, list[Change]] | None = None
            for title, changes in _causes(model):
                try:
                    with _changed(changes):
                        now = _agreeing(_errors(model, reference))
                except (ValueError, TypeError):  # the change does not fit this network: sizes no longer do
                    continue
                if now > (best[0] if best else agreeing):
                    best = now, title, changes
            if best is None:
                return told, ()
            agreeing, title, changes = best
            kept.enter_context(_changed(changes))
            causes.append(title)
    return told, tuple(causes) if agreeing == len(errors) else ()


@contextmanager
def _changed(changes: list[Change]) -> Iterator[None]:
    before = [(target, attribute, getattr(target, attribute)) for target, attribute, _ in changes]
    try:
        for target, attribute, value in changes:
            setattr(target, attribute, value)
        yield
    finally:
        for target, attribute, value in before:
            setattr(target, attribute, value)


# ----------------------------------------------------------------------------------------- the known causes


def _causes(model: Any) -> Iterator[tuple[str, list[Change]]]:
    """Yield each known cause and what to change for it, where it changes anything."""
    for cause in (_padding, _mean_at_borders, _eps, _flatten_order, _colours, _strides, _ceil, _relu6):
        for title, changes in cause(model).items():
            differing = [(t, a, v) for t, a, v in changes if isinstance(v, nn.Parameter) or getattr(t, a) != v]
            if differing:
                yield title, differing


def _of(model: Any, *kinds: type) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kinds)]


def _padding(model: Any) -> dict[str, list[Change]]:
    convolutions = [
        m for m in _of(model, nn.Conv2d, nn.DepthwiseConv2d) if max(m.stride) > 1 and max(m.kernel_size) > 1
    ]
    pools = [m for m in _of(model, nn.MaxPool2d) if m.stride and max(m.stride) > 1 and max(m.kernel_size) > 2]
    found: dict[str, list[Change]] = {}
    for kind, layers in (("strided convolutions", convolutions), ("strided maxima", pools)):
        padded = [m for m in layers if m.padding not in (0, (0, 0))]
        found |= {
            f"{kind} padded by half the window on every side": [
                (m, "padding", tuple(k // 2 for k in m.kernel_size)) for m in padded
            ],
            f"{kind} padded right and bottom only": [
                (m, "padding", tuple((0, k // 2) for k in m.kernel_size)) for m in padded
            ],
            f"{kind} padded as TensorFlow's 'same'": [(m, "padding", "same") for m in padded],
        }
    return found


def _mean_at_borders(model: Any) -> dict[str, list[Change]]:
    means = _of(model, nn.AvgPool2d)
    return {
        "means at the border that count the zeros outside": [(m, "count_include_pad", True) for m in means],
        "means at the border that leave the zeros outside out": [(m, "count_include_pad", False) for m in means],
    }


def _eps(model: Any) -> dict[str, list[Change]]:
    norms = _of(model, nn.BatchNorm2d)
    return {f"eps = {eps:g} in batch norms": [(m, "eps", eps) for m in norms] for eps in (1e-3, 1e-5, 1.001e-5, 2e-5)}


def _flatten_order(model: Any) -> dict[str, list[Change]]:
    """The first fully connected layer after maps of more than one pixel."""
    before, found = 0, {}
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            before = len(module.bias.array) if module.bias is not None else len(module.weight.array)
        elif isinstance(module, nn.Linear) and before:
            out, count = module.weight.shape
            side = round((count / before) ** 0.5)
            if side > 1 and before * side**2 == count:
                ours = module.weight.array.reshape(out, before, side, side)
                theirs = module.weight.array.reshape(out, side, side, before)
                for title, weight in (
                    ("maps flattened with their channels last", ours.transpose(0, 2, 3, 1)),
                    (
                        "weights that were turned round for channels last, taken as they were",
                        theirs.transpose(0, 3, 1, 2),
                    ),
                ):
                    found[title] = [(module, "weight", nn.Parameter(np.ascontiguousarray(weight.reshape(out, count))))]
            break
    return found


def _colours(model: Any) -> dict[str, list[Change]]:
    first = next((m for m in _of(model, nn.Conv2d)), None)
    if first is None or first.weight.shape[1] != 3:
        return {}
    turned = nn.Parameter(np.ascontiguousarray(first.weight.array[:, ::-1]))
    return {"the colours in the other order (BGR for RGB)": [(first, "weight", turned)]}


def _strides(model: Any) -> dict[str, list[Change]]:
    """Of a bottleneck: its first 1x1 or its 3x3 convolution has the stride."""
    one: list[Change] = []
    three: list[Change] = []
    for block in _of(model, Residual):
        first, second = _of(block.layers, nn.Conv2d)[:2]
        stride = max(first.stride, second.stride)
        if max(first.kernel_size) == 1:
            one += [(first, "stride", stride), (second, "stride", (1, 1))]
            three += [(first, "stride", (1, 1)), (second, "stride", stride)]
    return {"the stride in a block's first 1x1 convolution": one, "the stride in a block's 3x3 convolution": three}


def _ceil(model: Any) -> dict[str, list[Change]]:
    pools = _of(model, nn.MaxPool2d)
    return {
        f"maxima whose size is rounded {way}": [(m, "ceil_mode", up) for m in pools]
        for way, up in (("up", True), ("down", False))
    }


def _relu6(model: Any) -> dict[str, list[Change]]:
    layers = [m for m in _of(model, nn.Conv2d, nn.BatchNorm2d) if m.activation]
    return {f"activations {kind}": [(m, "activation", kind) for m in layers] for kind in ("relu", "relu6")}
