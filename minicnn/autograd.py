"""Reverse-mode automatic differentiation: a Tensor, a tape, and a walk back along it.

How it works, in the order of this file:

1. A ``Tensor`` is a NumPy array that may remember the op that made it (its ``Node``).
2. An op computes its result and calls ``record(name, out, (input, gradient), ...)``: each input stands
   beside the function that turns the gradient of the output into the gradient of that input. What such a
   function closes over is what the tape saves; a pair whose input needs no gradient is dropped.
3. ``backward()`` visits the nodes in the reverse of the order in which they were made (which is always a
   valid order: an op is younger than its inputs) and adds up what flows into each tensor. It is a loop, so a
   graph may be as deep as memory allows. A node forgets its functions, and with them the saved arrays,
   as soon as it was visited.

A saved array that is changed in place before ``backward()`` would give a wrong gradient without a word.
Every memory block therefore has a ``Block`` (arrays.py) that counts the changes made through minicnn. Once the raw
array was handed out (``tensor.data``), anybody may write to it unseen, so from then on the block is also
compared by checksum. A tensor whose ``.data`` nobody asked for costs nothing.

``print(minicnn.inspect.tape(loss))`` shows the tape.

Examples
--------
>>> import numpy as np, minicnn
>>> w = minicnn.Tensor(np.array([1.0, 2.0]), requires_grad=True)
>>> loss = (w * w + 3.0 * w).sum()
>>> loss.backward()
>>> w.grad.numpy()
array([5., 7.])
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minicnn.arrays import Block, crc, has_own_memory, real_numbers
from minicnn.errors import DTypeError, GraphError, OptionError, OutOfRangeError, ShapeError

Array = NDArray[Any]
Gradient = Callable[[Array], Array]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

# Operators and methods of Tensor that are ops: minicnn/functional/arithmetic.py says what they compute.
OPERATORS: dict[str, Callable[..., Tensor]] = {}

_recording: ContextVar[bool] = ContextVar("minicnn_recording", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: nothing is saved, results need no gradient.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> w = minicnn.Tensor(np.ones(2), requires_grad=True)
    >>> with minicnn.no_grad():
    ...     (w * 2).requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def is_recording() -> bool:
    """Whether ops on tensors that need a gradient are recorded (not inside ``no_grad``)."""
    return _recording.get()


class Tensor:
    """A contiguous NumPy array that can be differentiated through.

    Parameters
    ----------
    array : array_like
        Copied. Python's floats become float32; arrays keep their dtype, in native byte order.
    requires_grad : bool
        Whether ``backward()`` shall leave the gradient in ``.grad``; only float32 and float64 can.

    Raises
    ------
    DTypeError
        If the array is not numeric, is complex, or needs a gradient and is not float32 or float64.
    ShapeError
        If the rows of a nested list differ in length.

    Examples
    --------
    >>> import minicnn
    >>> x = minicnn.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> x.sum().backward()
    >>> x.grad
    Tensor([[1., 1.],
            [1., 1.]], dtype=float32)
    """

    __slots__ = ("__dict__", "__weakref__", "_block", "array", "grad", "node", "requires_grad", "retains_grad")
    # `numpy_array * tensor` is asked of the tensor, and np.exp(tensor) is an error: it would lose the gradient.
    __array_ufunc__ = None

    array: Array  # for the library's own use: reads only, or between `changing()`
    grad: Tensor | None
    node: Node | None

    def __init__(self, array: ArrayLike, requires_grad: bool = False) -> None:
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise OptionError(f"Tensor: requires_grad must be True or False, got {requires_grad!r}")
        values = real_numbers("Tensor", "array", array)
        if not isinstance(array, (Tensor, np.ndarray, np.generic)) and values.dtype == np.float64:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)
        native = values.dtype.newbyteorder("=")
        self._set(np.array(values, dtype=native, order="C", subok=False), bool(requires_grad), Block())

    def _set(self, array: Array, requires_grad: bool, block: Block) -> None:
        if requires_grad and array.dtype not in FLOATS:
            raise DTypeError(f"Tensor: only float32 and float64 can have a gradient, got {array.dtype}")
        self.array, self.requires_grad, self._block = array, requires_grad, block
        self.node = self.grad = None
        self.retains_grad = False

    @staticmethod
    def wrap(array: Array, block: Block | None = None) -> Tensor:
        """Return a tensor on this very array (C-contiguous, native), without a copy: for ops' results."""
        tensor = Tensor.__new__(Tensor)
        tensor.array, tensor._block = array, block or Block()
        tensor.node = tensor.grad = None
        tensor.requires_grad = tensor.retains_grad = False
        return tensor

    # ------------------------------------------------------------------------------- looking at it

    @property
    def data(self) -> Array:
        """The array itself: writing to it changes the tensor.

        ``backward()`` refuses to use a saved array that was changed after it was saved.
        """
        block = self._block
        if block.checksum is None:
            block.array, block.checksum = self.array, crc(self.array)
        return self.array

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if value is self.array:  # t.data -= step: NumPy has written in place already
            return
        given = real_numbers("data", "the new array", value)
        if given.shape != self.shape:
            raise ShapeError(f"data: the new array must have shape {self.shape}, got {given.shape}")
        # A new array, a new block: what a graph has saved stays as it is.
        with np.errstate(all="ignore"):
            self.array, self._block = np.array(given, dtype=self.dtype, order="C", subok=False), Block()

    @contextmanager
    def changing(self) -> Iterator[Array]:
        """Give the array for writing in place, and count the change (optimisers, ``load_state_dict``)."""
        try:
            yield self.array
        finally:
            self._block.array = self.array
            self._block.changes += 1

    def numpy(self) -> Array:
        """Return the values as a read-only array that shares memory with the tensor."""
        view = self.array.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis; images are (N, C, H, W)."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.array.size

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return self.node is None

    def item(self) -> float | int | bool:
        """Return the only element as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item: the tensor must have one element, got shape {self.shape}")
        return self.array.item()  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if other is not self and isinstance(other, (Tensor, np.ndarray, np.generic, float, int)):
            raise DTypeError("==: tensors are not compared element by element; compare their .numpy()")
        return other is self

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        text = np.array2string(self.array, separator=", ", prefix="Tensor(")
        if self.array.dtype != np.float64:
            text += f", dtype={self.array.dtype}"
        if self.node is not None:
            text += f", made by {self.node.name}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"Tensor({text})"

    # ------------------------------------------------------------------------------- the graph

    def detach(self) -> Tensor:
        """Return a tensor on the same memory that the graph does not know."""
        return Tensor.wrap(self.array, self._block)

    def retain_grad(self) -> None:
        """Let ``backward()`` leave a ``.grad`` here although an op made this tensor."""
        if not self.requires_grad:
            raise GraphError("retain_grad: no input of this tensor needs a gradient, none will arrive here")
        self.retains_grad = True

    def zero_grad(self) -> None:
        """Forget the gradient (``backward()`` adds to what is there)."""
        self.grad = None

    def backward(self, grad: ArrayLike | Tensor | None = None) -> None:
        """Add d(self)/d(leaf), times ``grad``, to the ``.grad`` of every leaf that needs it.

        Parameters
        ----------
        grad : array_like, optional
            The gradient of this tensor, of its shape; 1 for a tensor of one element.

        Raises
        ------
        GraphError
            If nothing was recorded, the graph was used before (its arrays are freed), or an array that
            it saved was changed in place.
        ShapeError
            If ``grad`` is missing for a tensor of several elements, or has another shape.
        """
        if not self.requires_grad:
            raise GraphError("backward: no input of this tensor needs a gradient, nothing was recorded")
        if grad is None:
            if self.size != 1:
                raise ShapeError(f"backward: grad must be given for a tensor of shape {self.shape}")
            seed = np.ones_like(self.array)
        else:
            seed = real_numbers("backward", "grad", grad)
            if seed.shape != self.shape:
                raise ShapeError(f"backward: grad must have shape {self.shape}, got {seed.shape}")
        with np.errstate(all="ignore"):  # infinity and NaN are results, not warnings
            _walk_back(self, np.array(seed, dtype=self.dtype, order="C", subok=False))

    # ------------------------------------------------------------------------------- operators

    def __add__(self, other: Any) -> Tensor:
        return OPERATORS["add"](self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return OPERATORS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPERATORS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPERATORS["mul"](self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return OPERATORS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPERATORS["div"](other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return OPERATORS["pow"](self, exponent)

    def __neg__(self) -> Tensor:
        return OPERATORS["neg"](self)

    def __abs__(self) -> Tensor:
        return OPERATORS["abs"](self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPERATORS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPERATORS["matmul"](other, self)

    def __getitem__(self, index: Any) -> Tensor:
        return OPERATORS["getitem"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.requires_grad and is_recording():
            raise GraphError("setitem: a tensor that needs a gradient cannot be written to; use no_grad()")
        real_numbers("setitem", "the value", value)
        try:
            with self.changing() as array, np.errstate(all="ignore"):
                array[index] = value
        except IndexError as error:
            raise OutOfRangeError(f"setitem: the index must fit the shape {self.shape}, got {error}") from None
        except (ValueError, TypeError, OverflowError) as error:
            place = f"the {self.dtype} tensor of shape {self.shape}"
            raise ShapeError(f"setitem: the value must fit its place in {place}, got {error}") from None

    def sum(self, dim: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Tensor:
        """Sum over the axes ``dim`` (all of them by default)."""
        return OPERATORS["sum"](self, dim, keepdims=keepdims)

    def mean(self, dim: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Tensor:
        """Mean over the axes ``dim`` (all of them by default)."""
        return OPERATORS["mean"](self, dim, keepdims=keepdims)

    def exp(self) -> Tensor:
        """E to the power of each element."""
        return OPERATORS["exp"](self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return OPERATORS["log"](self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return OPERATORS["sqrt"](self)

    def abs(self) -> Tensor:
        """Each element without its sign."""
        return OPERATORS["abs"](self)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """Return the same numbers as float32 or float64; the gradient is cast back."""
        return OPERATORS["astype"](self, dtype)

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """Return the same elements in another shape; one size may be -1."""
        return OPERATORS["reshape"](self, *shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Join the axes ``start_dim .. end_dim`` into one."""
        return OPERATORS["flatten"](self, start_dim, end_dim)

    def transpose(self, *axes: int) -> Tensor:
        """Return the axes in the order ``axes`` (reversed by default)."""
        return OPERATORS["transpose"](self, *axes)

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The axes in reverse order."""
        return OPERATORS["transpose"](self)


class Node:
    """One recorded op: its name, its pairs of (input, gradient function), and the memory that must not change."""

    __slots__ = ("age", "name", "pairs", "shape", "watched")

    _ages = count()  # one call of next() is atomic: two threads never make nodes of the same age

    def __init__(self, name: str, out: Tensor, inputs: list[Tensor], pairs: list[tuple[Tensor, Gradient]]) -> None:
        self.age = next(Node._ages)
        self.name, self.shape = name, out.array.shape
        self.pairs: list[tuple[Tensor, Gradient]] | None = pairs
        blocks = [tensor._block for tensor in (*inputs, out)]
        self.watched = [(b, b.changes, None if b.checksum is None else self._checksum(b)) for b in blocks]

    @property
    def saved(self) -> list[Array]:
        """The arrays that gradient functions keep alive: closed over, in a tuple, or by a function that they call."""
        saved: dict[int, Array] = {}
        looked_at: list[Any] = [gradient for _, gradient in self.pairs or ()]
        for what in looked_at:  # grows meanwhile
            if isinstance(what, np.ndarray):
                saved[id(what)] = what
            elif isinstance(what, FunctionType):
                looked_at += [cell.cell_contents for cell in what.__closure__ or ()]
            elif isinstance(what, (tuple, list)):
                looked_at += what
        return list(saved.values())

    def _checksum(self, block: Block) -> int | None:
        """Fingerprint what is in a block now, if an array on it was saved."""
        memory = block.array
        if memory is None or not any(np.may_share_memory(memory, array) for array in self.saved):
            return None
        return crc(memory)

    def verify(self) -> None:
        """Raise GraphError if an input or output that was saved is not what it was then."""
        for block, changes, before in self.watched:
            if block.changes == changes and block.checksum is None:
                continue  # nobody has changed it, nobody could unseen
            now = self._checksum(block)
            if now is not None and (block.changes != changes or now != (block.checksum if before is None else before)):
                shape = None if block.array is None else block.array.shape
                raise GraphError(
                    f"backward: an array of shape {shape} that {self.name} saved for its gradient was changed in "
                    "place afterwards; change a copy, or change it after backward()"
                )

    def free(self) -> None:
        """Forget the gradient functions and, with them, every saved array."""
        self.pairs, self.watched = None, []


def record(name: str, out: Array, *pairs: tuple[Tensor, Gradient], block: Block | None = None) -> Tensor:
    """Wrap an op's result and note how gradients flow back through it.

    Parameters
    ----------
    name : str
        The op, for messages and drawings.
    out : array
        The result. A view of an input's memory comes with that input's ``block``.
    *pairs : (Tensor, function)
        Each input with the function from grad_out (an array like ``out``) to the gradient of that input (an
        array like the input): a new array, grad_out itself or a view of it, which the function must not write
        to. It closes over the arrays it needs (``x.array``, not ``x``): these are saved until ``backward()``.

    Examples
    --------
    >>> import numpy as np
    >>> def square(x):
    ...     values = x.array
    ...     return record("square", values**2, (x, lambda grad_out: 2 * values * grad_out))
    >>> x = Tensor(np.array([3.0]), requires_grad=True)
    >>> square(x).backward()
    >>> x.grad.item()
    6.0
    """
    tensor = Tensor.wrap(np.asarray(out, order="C"), block)
    if _recording.get():
        needed = [pair for pair in pairs if pair[0].requires_grad]
        if needed:
            tensor.requires_grad = True
            tensor.node = Node(name, tensor, [pair[0] for pair in pairs], needed)
    return tensor


def needs_grad(*tensors: Tensor | None) -> bool:
    """Whether an op on these tensors will be recorded: if not, it need not keep what only gradients use."""
    return _recording.get() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _walk_back(root: Tensor, seed: Array) -> None:
    """Send ``seed`` from ``root`` down to the leaves, youngest op first."""
    flows: dict[Node | Tensor, Array] = {}  # what has arrived so far at each op's output and at each leaf
    sums: set[Node | Tensor] = set()  # whose flow was added up here: nobody else holds it, it may grow in place
    keepers: dict[Node, Tensor] = {}  # tensors in the middle that asked for their gradient
    waiting: list[tuple[int, Node]] = []  # a heap, youngest first

    def arrive(tensor: Tensor, flow: Array) -> None:
        node = tensor.node
        key = node or tensor
        if key in sums:
            flows[key] += flow
        elif key in flows:
            flows[key] = np.asarray(flows[key] + flow)
            sums.add(key)
        else:
            flows[key] = flow
            if node is not None:
                heapq.heappush(waiting, (-node.age, node))
        if node is not None and tensor.retains_grad:
            keepers[node] = tensor

    arrive(root, seed)
    while waiting:
        node = heapq.heappop(waiting)[1]
        grad_out = flows.pop(node)
        if node.pairs is None:
            raise GraphError(
                f"backward: {node.name} was walked through before and its saved arrays are freed; compute "
                "the loss again, or add the losses and call backward() once"
            )
        node.verify()
        for tensor, gradient in node.pairs:
            flow, values = np.asarray(gradient(grad_out), order="C"), tensor.array
            if flow.shape != values.shape or flow.dtype != values.dtype:
                raise GraphError(
                    f"backward: the gradient that {node.name} gives to an input must be {values.dtype} of shape "
                    f"{values.shape}, got {flow.dtype} of shape {flow.shape}"
                )
            # A leaf keeps what arrives; it must not share memory with what still flows elsewhere.
            if tensor.node is None and (flow is grad_out or not has_own_memory(flow)):
                flow = flow.copy()
            arrive(tensor, flow)
        if node in keepers:
            _deposit(keepers[node], grad_out.copy())
        node.free()
    for leaf, flow in flows.items():
        if isinstance(leaf, Tensor):  # it is: every node was popped
            _deposit(leaf, flow)


def _deposit(tensor: Tensor, flow: Array) -> None:
    if tensor.grad is None:
        tensor.grad = Tensor.wrap(flow)
    else:
        with tensor.grad.changing() as total:
            total += flow
