"""Module: a layer or a network, which owns parameters, buffers and other modules by name.

Setting an attribute is all it takes: what is a Parameter, a Buffer or a Module is found again by its type,
in the order in which it was set. There is no registry beside the attributes that could disagree with them.

>>> import numpy as np
>>> from minicnn import nn
>>> class Scale(nn.Module):
...     def __init__(self):
...         self.factor = nn.Parameter([2.0])
...     def forward(self, input):
...         return input * self.factor
>>> scale = Scale()
>>> [name for name, _ in scale.named_parameters()]
['factor']
>>> scale(np.float32([1.0, 3.0])).numpy()
array([2., 6.], dtype=float32)
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minicnn.autograd import FLOATS, Array, Tensor
from minicnn.errors import DTypeError, MiniCNNError, OptionError, StateError
from minicnn.functional import check
from minicnn.nn.parameter import Buffer, Parameter

Found = TypeVar("Found")
Shape = tuple[int, ...]
ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]
ForwardPreHook = Callable[["Module", tuple[Any, ...]], Any]


class Module:
    """The base class of every layer and network: subclass it, set attributes, write ``forward``.

    Notes
    -----
    ``module(x)`` calls ``forward(x)`` between the hooks, and adds to an error the name of the stage in which
    it arose: ``in lenet5.C3.conv: conv2d: C_in must ...``.
    """

    training = True
    frozen = False  # what `transfer.freeze` sets: in inference whatever `train()` says
    forward: Callable[..., Any]

    # ------------------------------------------------------------------------------- what it owns

    def __setattr__(self, name: str, value: Any) -> None:
        held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        if any(isinstance(item, (Module, Parameter, Buffer)) for item in held):
            raise OptionError(
                f"{type(self).__name__}: modules and parameters must be attributes of their own, or stand in a "
                f"Sequential, got a {type(value).__name__} as {name!r}, in which they would not be found"
            )
        super().__setattr__(name, value)

    def register_buffer(self, name: str, array: ArrayLike) -> None:
        """Keep ``array`` (copied) as the buffer ``name``: the same as ``self.name = Buffer(array)``."""
        setattr(self, name, Buffer(array))

    def add_module(self, name: str, module: Module) -> None:
        """Set a module under a name that is only known at run time.

        Raises
        ------
        OptionError
            If the name is empty, contains a dot, or is already an attribute.
        """
        kind = type(self).__name__
        if not isinstance(module, Module):
            raise OptionError(f"{kind}: stage {name!r} must be a Module, got {type(module).__name__}")
        if not isinstance(name, str) or not name or "." in name:
            raise OptionError(f"{kind}: a stage's name must be text without a dot, got {name!r}")
        if hasattr(self, name):
            raise OptionError(f"{kind}: a stage's name must be new, got {name!r}, which is an attribute already")
        setattr(self, name, module)

    def _named(self, kind: type[Found]) -> Iterator[tuple[str, Found]]:
        """All things of a type in the tree, with their dotted names, each once (shared ones: first name)."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over (name, module) of the modules one level down."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """Iterate over the modules one level down."""
        return (module for _, module in self.named_children())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Iterate over (dotted name, module) of the whole tree; the module itself comes first, as ``""``."""
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [("", self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
            waiting.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """Iterate over the module itself and all modules below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over (dotted name, parameter); a parameter that is shared comes once."""
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Iterate over the parameters, as optimisers want them."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Iterate over (dotted name, buffer)."""
        return self._named(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """Iterate over the buffers."""
        return (buffer for _, buffer in self.named_buffers())

    # ------------------------------------------------------------------------------- running it

    def __call__(self, *inputs: Any) -> Any:
        try:
            for before in self._hooks("_before"):
                changed = before(self, inputs)
                if changed is not None:
                    inputs = changed if isinstance(changed, tuple) else (changed,)
            output = self.forward(*inputs)
            for after in self._hooks("_after"):
                changed = after(self, inputs, output)
                if changed is not None:
                    output = changed
            return output
        except MiniCNNError as error:
            self._locate(error)
            raise

    def _locate(self, error: MiniCNNError) -> None:
        """Write the error's way through this module: the outermost name is our own until a caller renames it."""
        inner = getattr(error, "raised_in", None)
        path = next((path for path, module in self.named_modules() if module is inner and path), None)
        if path is not None:
            error.stages[:1] = path.split(".")
        name = vars(self).get("name")
        error.inside(name if isinstance(name, str) else type(self).__name__)
        error.raised_in = self  # type: ignore[attr-defined]

    def train(self, mode: bool = True) -> Self:
        """Switch dropout and batch normalisation to training (or, with False, to inference); frozen layers stay."""
        training = check.flag("train", "mode", mode)
        for module in self.modules():
            module.training = training and not module.frozen
        return self

    def eval(self) -> Self:
        """Switch dropout and batch normalisation to inference."""
        return self.train(False)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Be in inference within this block; afterwards each module is in the mode that it had.

        Examples
        --------
        >>> from minicnn import nn
        >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval())
        >>> with net.inference():
        ...     [module.training for module in net]
        [False, False]
        >>> [module.training for module in net]
        [True, False]
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

    def zero_grad(self) -> None:
        """Forget all gradients (``backward()`` adds to what is there)."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert every parameter and floating buffer in place to float32 or float64; gradients are forgotten.

        A gradient check needs the digits of float64: ``gradcheck(model.astype("float64"), ...)``.
        """
        wanted = np.dtype(dtype)
        if wanted not in FLOATS:
            raise DTypeError(f"astype: dtype must be float32 or float64, got {wanted}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype in FLOATS:
                tensor.convert(wanted)
        return self

    # ------------------------------------------------------------------------------- hooks

    def _hooks(self, when: str) -> tuple[Any, ...]:
        return tuple(vars(self).get(when, {}).values())

    def _register(self, when: str, hook: Callable[..., Any]) -> HookHandle:
        handle = HookHandle(vars(self).setdefault(when, {}))
        handle.hooks[handle] = hook
        return handle

    def register_forward_hook(self, hook: ForwardHook) -> HookHandle:
        """Call ``hook(module, inputs, output)`` after each forward; what it returns, if anything, is the output.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook away; so does the end of a ``with`` block.

        Examples
        --------
        >>> import numpy as np
        >>> from minicnn import nn
        >>> relu = nn.ReLU()
        >>> with relu.register_forward_hook(lambda module, inputs, output: print(output.shape)):
        ...     y = relu(np.zeros((2, 3), np.float32))
        (2, 3)
        """
        return self._register("_after", hook)

    def register_forward_pre_hook(self, hook: ForwardPreHook) -> HookHandle:
        """Call ``hook(module, inputs)`` before each forward; what it returns, if anything, are the inputs."""
        return self._register("_before", hook)

    # ------------------------------------------------------------------------------- state

    def _state(self) -> dict[str, Tensor]:
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers by dotted name: later training leaves them as they are."""
        return {name: tensor.array.copy() for name, tensor in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Copy values into parameters and buffers.

        Parameters
        ----------
        state : mapping of str to array
            As from ``state_dict()``; dtypes must agree, nothing is converted silently.
        strict : bool
            True: if one entry does not fit, nothing at all is loaded. False: load the entries that fit.

        Returns
        -------
        LoadReport
            What was loaded and what not.

        Raises
        ------
        StateError
            If ``strict`` and an entry is missing, unexpected, or of another shape or dtype. The message lists
            every one of them, with the nearest name.
        """
        if not isinstance(state, Mapping):
            raise StateError(f"load_state_dict: state must map names to arrays, got {type(state).__name__}")
        own = self._state()
        given = {name: value.array if isinstance(value, Tensor) else value for name, value in state.items()}
        report = LoadReport.of(own, given)
        if strict and not report.ok:
            raise StateError(f"load_state_dict: nothing was loaded into {type(self).__name__}: {report}")
        for name in report.loaded:
            with own[name].changing() as array:
                array[...] = given[name]
        return report

    # ------------------------------------------------------------------------------- looking at it

    def __repr__(self) -> str:
        rows = []
        for path, module in self.named_modules():
            depth = path.count(".") + 1 if path else 0
            title = f"{path.rpartition('.')[2]}: " if path else ""
            own = {n: v for n, v in vars(module).items() if isinstance(v, (Parameter, Buffer))}
            shapes = "  ".join(f"{name} {tensor.shape}" for name, tensor in own.items())
            count = sum(parameter.size for parameter in module.parameters())
            rows.append(("  " * depth + title + module.call(), shapes, f"{count:,}" if count else ""))
        left, middle, right = (max(len(row[i]) for row in rows) for i in range(3))
        return "\n".join(f"{a:<{left}}  {b:<{middle}}  {c:>{right}}".rstrip() for a, b, c in rows)

    def options(self) -> dict[str, Any]:
        """Return what the layer was made with, by the names of its arguments, as far as it kept them.

        Examples
        --------
        >>> from minicnn import nn
        >>> nn.Linear(3, 2).options()
        {'in_features': 3, 'out_features': 2, 'bias': True}
        """
        found: dict[str, Any] = {}
        for name, argument in inspect.signature(type(self)).parameters.items():
            value = vars(self).get(name, argument.default)
            if isinstance(argument.default, bool):
                value = value is not None and value is not False  # a bias that it has, or has not
            if value is argument.empty or isinstance(value, (Tensor, Module)):
                continue
            if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1] and isinstance(value[0], int):
                value = value[0]  # a pair of equals, as it was most likely written
            found[name] = f"array{value.shape}" if isinstance(value, np.ndarray) else value
        return found

    def call(self, *, sizes: bool = True) -> str:
        """Write the call that makes this layer, without options that have their defaults.

        With ``sizes=False`` also without arguments that have no default: layers of one kind then read alike.

        Examples
        --------
        >>> from minicnn import nn
        >>> nn.Linear(3, 2).call()
        'Linear(3, 2)'
        """
        shown, defaults = [], {n: p.default for n, p in inspect.signature(type(self)).parameters.items()}
        for name, value in self.options().items():
            text = str(value) if str(value).startswith("array(") else repr(value)
            if defaults[name] is inspect.Parameter.empty:
                shown += [text] * sizes
            elif value != defaults[name]:
                shown.append(f"{name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"


class HookHandle:
    """What ``register_forward_hook`` returns, to take the hook away again."""

    def __init__(self, hooks: dict[HookHandle, Callable[..., Any]]) -> None:
        self.hooks = hooks

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self.hooks.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


@dataclass
class LoadReport:
    """How a state dict fits a module; ``str(report)`` lists every entry that does not.

    Attributes
    ----------
    loaded : list of str
        Entries that fit.
    missing, unexpected : list of str
        Names that only the module, or only the state dict, has.
    misshapen : dict of name to (expected shape, given shape)
    mistyped : dict of name to (expected dtype, what was given)
    meant : dict of name to name
        For a missing or unexpected name the nearest one on the other side, of the same shape.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    mistyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    meant: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, own: Mapping[str, Tensor], given: Mapping[str, Any]) -> LoadReport:
        """Compare what a module has with what is given for it."""
        report = cls(
            missing=[name for name in own if name not in given],
            unexpected=[name for name in given if name not in own],
        )
        for name in (name for name in own if name in given):
            expected, value = own[name], given[name]
            if not isinstance(value, (np.ndarray, np.generic)):
                report.mistyped[name] = (str(expected.dtype), f"a {type(value).__name__}, not an array")
            elif value.dtype.newbyteorder("=") != expected.dtype:
                report.mistyped[name] = (str(expected.dtype), str(value.dtype))
            elif value.shape != expected.shape:
                report.misshapen[name] = (expected.shape, value.shape)
            else:
                report.loaded.append(name)
        # Only names of one shape can have been meant for each other; it also keeps the search short.
        for name in report.missing:
            alike = [other for other in report.unexpected if getattr(given[other], "shape", None) == own[name].shape]
            for other in difflib.get_close_matches(name, alike, n=1):
                report.meant[name] = other
                report.meant.setdefault(other, name)
        return report

    @property
    def ok(self) -> bool:
        """Whether every entry fits."""
        return not (self.missing or self.unexpected or self.misshapen or self.mistyped)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} entries fit"]
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            if names:
                lines.append(f"{title} ({len(names)}):")
                lines += [f"  {n}" + (f"  (nearest: {self.meant[n]})" if n in self.meant else "") for n in names]
        for title, pairs in (("another shape", self.misshapen), ("another dtype", self.mistyped)):
            if pairs:
                lines.append(f"{title} ({len(pairs)}):")
                lines += [f"  {name}: expected {expected}, got {got}" for name, (expected, got) in pairs.items()]
        return "\n".join(lines)
