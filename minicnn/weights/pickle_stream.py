"""Pickles read as data: a parser of the few opcodes that occur in files of weights, which cannot call anything.

Python's own reader runs whatever a pickle names. Here a name stays a name: it is looked up in a short list, and a
tensor becomes a note of where in the file its numbers are. Everything else is an error that tells the name. What torch
writes was looked at (18 opcodes in a ``state_dict``); see ``pickletools`` for what each opcode means.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minicnn.weights.source import DTYPES, File

MOST_OPCODES = 400_000  # ResNet-152 with Adam's state has 60,000
MOST_TENSORS = 100_000
ADVICE = "; if you trust it, load it in PyTorch and save it again: torch.save(model.state_dict(), path)"


@dataclass(frozen=True)
class Global:
    """A name in a pickle: what Python would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file, which tensors look at; ``dtype`` None: bytes, of which each tensor says more."""

    key: str
    dtype: str | None
    count: int
    view: tuple[str, int] | None = None  # of torch before 0.4: the storage that has the numbers, and where in it


@dataclass(frozen=True)
class TensorAt:
    """A tensor: where in its storage it starts, and how far apart its elements are."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass
class OldParameter:
    """A parameter as torch before 0.4 wrote it: an object made first, and told its state then."""

    tensor: TensorAt | None


class Ignored:
    """A value that no weights depend on, such as a NumPy number of an optimiser."""


STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip
ORDERED_DICT = Global("collections", "OrderedDict")
SIZE = Global("torch", "Size")
TENSOR_V1, TENSOR_V2, TENSOR_V3, PARAMETER = (
    Global("torch._utils", f"_rebuild_{name}") for name in ("tensor", "tensor_v2", "tensor_v3", "parameter")
)
OLD_PARAMETER = Global("torch.nn.parameter", "Parameter")
UNTYPED = {Global("torch.storage", "UntypedStorage"), Global("torch", "UntypedStorage")}
TYPED = {Global(module, name): dtype for module in ("torch", "torch.cuda") for name, dtype in STORAGES.items()}
DTYPE_NAMES = re.compile(r"(bfloat16|bool|u?int\d{1,2}|float(16|32|64|8_\w{1,12})|complex(32|64|128))")
HARMLESS = {
    Global("torch", "device"), Global("numpy", "dtype"), Global("_codecs", "encode"),
    Global("numpy.core.multiarray", "scalar"), Global("numpy._core.multiarray", "scalar"),
}  # fmt: skip
ALLOWED = {ORDERED_DICT, SIZE, TENSOR_V1, TENSOR_V2, TENSOR_V3, PARAMETER, OLD_PARAMETER, *UNTYPED, *TYPED, *HARMLESS}


def parse(file: File, data: memoryview, start: int = 0, *, name: str = "the pickle") -> tuple[Any, int]:
    """Read the pickle that starts at ``start``.

    Returns
    -------
    (value, position after it)
        The value is made of dicts, lists, tuples, text, numbers, None, ``TensorAt``, ``Storage``, ``Global``
        and ``Ignored``.

    Raises
    ------
    LoadError
        If the pickle ends too early, has an opcode or a name that no file of weights has, or an operand of the
        wrong kind.
    """
    return Machine(file, data, start, name).run()


class Machine:
    """The pickle machine: a stack, marks in it, and a memo of earlier values.

    What names mean stands in ``find``, ``call``, ``make`` and ``build``, here as torch uses them; a reader of other
    pickles (``data/cifar.py``) has its own.
    """

    advice = ADVICE

    def __init__(self, file: File, data: memoryview, start: int, name: str) -> None:
        self.file, self.data, self.at, self.name = file, data, start, name
        self.opcode_at = start
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.tensors = 0

    def run(self) -> tuple[Any, int]:
        for _ in range(MOST_OPCODES):
            self.opcode_at = self.at
            opcode = self.take(1)[0]
            if opcode == STOP:
                value = self.pop()
                if self.stack or self.marks:
                    raise self.error("ends with values left over")
                return value, self.at
            operation = OPERATIONS.get(opcode)
            if operation is None:
                raise self.error(f"has the opcode {_title(opcode)}, which no file of weights has{self.advice}")
            operation(self)
        raise self.error(f"has more than {MOST_OPCODES:,} opcodes")

    def error(self, what: str) -> Exception:
        return self.file.error(f"{self.name} {what}", f"byte {self.opcode_at}")

    # ------------------------------------------------------------------------------- reading

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise self.error(f"is truncated: {count:,} bytes expected, {len(self.data) - self.at:,} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def line(self) -> str:
        stop = self.at
        while stop < len(self.data) and self.data[stop] != 10 and stop - self.at <= 200:
            stop += 1
        text = self.text(stop - self.at, "ascii")
        if bytes(self.take(1)) != b"\n":
            raise self.error("has a name of more than 200 characters")
        return text

    def text(self, count: int, encoding: str) -> str:
        try:
            return bytes(self.take(count)).decode(encoding)
        except UnicodeDecodeError:
            raise self.error(f"has text that is not {encoding}") from None

    # ------------------------------------------------------------------------------- the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.error("takes a value where there is none")
        return self.stack.pop()

    def top(self, kind: type, what: str) -> Any:
        value = self.pop()
        if type(value) is not kind:
            raise self.error(f"{what} a value of type {type(value).__name__}")
        self.push(value)
        return value

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise self.error("goes back to a mark that is not there")
        start = self.marks.pop()
        items, self.stack[start:] = self.stack[start:], []
        return items

    def pop_tuple(self, count: int) -> None:
        self.push(tuple(self.pop() for _ in range(count))[::-1])

    def put(self, index: int) -> None:
        value = self.pop()
        self.push(value)
        self.memo[index] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise self.error(f"recalls value {index}, which it never kept")
        self.push(self.memo[index])

    # ------------------------------------------------------------------------------- containers

    def append(self, items: list[Any]) -> None:
        self.top(list, "appends to").extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict, "sets an item of")
        if len(items) % 2:
            raise self.error("sets an item without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int, float, bool, type(None)):
                raise self.error(f"has a dict with a key of type {type(key).__name__}")
            target[key] = value

    def make(self) -> None:
        arguments, kind = self.pop(), self.pop()
        if kind != OLD_PARAMETER or type(arguments) is not tuple or not all(type(a) is TensorAt for a in arguments[:1]):
            raise self.error(f"makes an object of {kind if type(kind) is Global else type(kind).__name__}{self.advice}")
        self.push(OldParameter(arguments[0] if arguments else None))

    def build(self) -> None:
        state, value = self.pop(), self.pop()  # torch gives a dict's ``_metadata`` this way
        if type(value) is OldParameter:
            given = state[0] if type(state) is tuple and state and type(state[0]) is TensorAt else value.tensor
            if given is None:
                raise self.error("makes a parameter without a tensor")
            self.push(given)
            return
        self.push(value)
        if type(value) not in (dict, Ignored):
            raise self.error(
                f"sets attributes of a {value if type(value) is Global else type(value).__name__}{self.advice}"
            )

    # ------------------------------------------------------------------------------- names and tensors

    def find(self) -> None:
        found = Global(self.line(), self.line())
        if found not in ALLOWED and not (found.module == "torch" and DTYPE_NAMES.fullmatch(found.name)):
            whole = found.module.startswith(("torch.nn.modules", "torchvision.", "timm.")) or found.module == "__main__"
            why = "a whole model was pickled, and that is code" if whole else "nothing in a file of weights needs it"
            raise self.error(f"names {found}, which is refused: {why}{self.advice}")
        self.push(found)

    def find_storage(self) -> None:
        match self.pop():
            case ("storage", Global() as kind, str(key), str(), int(count), *view) if count >= 0:
                if kind not in TYPED and kind not in UNTYPED:
                    raise self.error(f"has a storage of the unknown type {kind}")
                if view and view[0] is not None:
                    match view[0]:
                        case (str(root), int(offset), int(size)) if offset >= 0 and size == count:
                            self.push(Storage(key, TYPED.get(kind), count, (root, offset)))
                            return
                    raise self.error("has a view of a storage that is not (key, offset, size)")
                self.push(Storage(key, TYPED.get(kind), count))
            case _:
                raise self.error("has a persistent id that is not ('storage', type, key, place, count)")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(function) is not Global or type(arguments) is not tuple:
            raise self.error(f"calls a value of type {type(function).__name__}{self.advice}")
        if function in HARMLESS:
            self.push(Ignored())
        elif function == ORDERED_DICT:
            self.push({})
            match arguments:
                case ():
                    pass
                case (list(pairs),) if all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
                    self.set_items([value for pair in pairs for value in pair])
                case _:
                    raise self.error("makes an OrderedDict of something else than pairs")
        elif function == SIZE and len(arguments) == 1 and type(arguments[0]) in (tuple, list):
            self.push(tuple(arguments[0]))
        elif function == PARAMETER and arguments and type(arguments[0]) is TensorAt:
            self.push(arguments[0])
        elif function in (TENSOR_V1, TENSOR_V2, TENSOR_V3):
            self.push(self.tensor(function, arguments))
        else:
            raise self.error(f"calls {function} with arguments that it never has")

    def tensor(self, function: Global, arguments: tuple[Any, ...]) -> TensorAt:
        self.tensors += 1
        if self.tensors > MOST_TENSORS:
            raise self.error(f"has more than {MOST_TENSORS:,} tensors")
        match arguments:
            case (Storage() as storage, int(offset), tuple(shape), tuple(strides), *rest) if all(
                type(n) is int for n in (offset, *shape, *strides)
            ):
                dtype = storage.dtype
                if function == TENSOR_V3:
                    said = rest[2] if len(rest) > 2 else None
                    dtype = said.name if type(said) is Global else None
                if dtype not in DTYPES:
                    raise self.error(f"has a tensor of dtype {dtype}, which is not read{self.advice}")
                return TensorAt(storage, offset, shape, strides, dtype)
        raise self.error(f"calls {function} with arguments that it never has")


STOP = ord(".")
OPERATIONS: dict[int, Callable[[Machine], None]] = {
    0x80: lambda m: _protocol(m),  # PROTO
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.number("<B")),  # BININT1
    ord("M"): lambda m: m.push(m.number("<H")),  # BININT2
    ord("J"): lambda m: m.push(m.number("<i")),  # BININT
    ord("G"): lambda m: m.push(m.number(">d")),  # BINFLOAT
    0x8A: lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),  # LONG1
    ord("X"): lambda m: m.push(m.text(m.number("<I"), "utf-8")),  # BINUNICODE
    ord("U"): lambda m: m.push(m.text(m.number("<B"), "latin-1")),  # SHORT_BINSTRING, of Python 2
    ord("T"): lambda m: m.push(m.text(m.number("<i"), "latin-1")),  # BINSTRING, of Python 2
    ord("("): lambda m: m.marks.append(len(m.stack)),  # MARK
    ord(")"): lambda m: m.push(()),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    0x85: lambda m: m.pop_tuple(1),
    0x86: lambda m: m.pop_tuple(2),
    0x87: lambda m: m.pop_tuple(3),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),  # TUPLE
    ord("q"): lambda m: m.put(m.number("<B")),  # BINPUT
    ord("r"): lambda m: m.put(m.number("<I")),  # LONG_BINPUT
    ord("h"): lambda m: m.get(m.number("<B")),  # BINGET
    ord("j"): lambda m: m.get(m.number("<I")),  # LONG_BINGET
    ord("a"): lambda m: m.append([m.pop()]),  # APPEND
    ord("e"): lambda m: m.append(m.pop_mark()),  # APPENDS
    ord("s"): lambda m: m.set_items([m.pop(), m.pop()][::-1]),  # SETITEM
    ord("u"): lambda m: m.set_items(m.pop_mark()),  # SETITEMS
    ord("c"): lambda m: m.find(),  # GLOBAL
    ord("Q"): lambda m: m.find_storage(),  # BINPERSID
    ord("R"): lambda m: m.call(),  # REDUCE
    0x81: lambda m: m.make(),  # NEWOBJ
    ord("b"): lambda m: m.build(),  # BUILD
}


def _protocol(machine: Machine) -> None:
    version = machine.number("<B")
    if version != 2:
        raise machine.error(f"has protocol {version}; protocol 2 is read{machine.advice}")


def _title(opcode: int) -> str:
    import pickletools

    return next((known.name for known in pickletools.opcodes if ord(known.code) == opcode), f"0x{opcode:02x}")
