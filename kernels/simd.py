"""The vector type: 4 to 16 numbers in one register, as an ordinary value in a Numba function.

A CPU multiplies and adds whole vectors in one instruction. Numba's compiler finds such instructions in simple
loops by itself, but not in the ones that matter most: it keeps the running sums of a matrix product
in memory. With a vector type the loop says what it means, and the sums stay in registers::

    total = splat(b, 0)
    for k in range(n):
        total = fma(load(a, k * lanes(a)), load(b, k * lanes(b)), total)
    store(out, 0, total)

``load``, ``store``, ``broadcast``, ``peek`` and ``poke`` index a flat array without Numba's test for negative indices
(which costs a compare and a move per load). They check nothing: an index outside the array reads foreign memory.

The number of lanes follows from the array's dtype and the machine: 32 bytes on AVX2 (8 float32 or 4 float64),
64 on AVX-512, 16 elsewhere. So one source serves both dtypes, and a gradient check in float64 runs
the very code that trains in float32. ``MINICNN_VECTOR_BYTES`` overrides the machine's width.
"""

from __future__ import annotations

import operator
import os

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic, models, overload, register_model
from numba.cpython.unsafe.tuple import tuple_setitem as tuple_setitem  # replaces one vector of a tuple of vectors


def _host_vector_bytes() -> int:
    if forced := os.environ.get("MINICNN_VECTOR_BYTES"):
        return int(forced)
    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


VECTOR_BYTES = _host_vector_bytes()


class Vector(types.Type):
    """Numba's type of ``lanes`` numbers of one dtype."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), kind.lanes))


def lanes(array) -> int:
    """Return how many elements of ``array`` fit into one vector; a constant inside compiled code."""
    return VECTOR_BYTES // array.dtype.itemsize


@overload(lanes)
def _lanes(array):
    count = VECTOR_BYTES * 8 // array.dtype.bitwidth
    return lambda array: count


def _address(context, builder, array_type, array, index):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _spread(context, builder, vector, scalar):
    """All lanes equal to ``scalar``."""
    kind = context.get_value_type(vector)
    nothing, place = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(nothing, scalar, ir.Constant(place, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(place, vector.lanes), [0] * vector.lanes))


@intrinsic
def load(typing_context, array, index):
    """Return the vector that starts at ``array[index]``, at any alignment."""
    vector = Vector(array.dtype)

    def code(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        pointer = builder.bitcast(address, context.get_value_type(vector).as_pointer())
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), code


@intrinsic
def load_some(typing_context, array, index, count):
    """Return ``load(array, index)`` with zeros in the lanes from ``count`` on, whose memory is not touched."""
    vector, place = Vector(array.dtype), ir.IntType(32)
    n = vector.lanes

    def code(context, builder, signature, arguments):
        kind, places = context.get_value_type(vector), ir.VectorType(place, n)
        address = _address(context, builder, signature.args[0], *arguments[:2])
        pointer = builder.bitcast(address, kind.as_pointer())
        limit = builder.insert_element(ir.Constant(places, ir.Undefined), builder.trunc(arguments[2], place), place(0))
        limit = builder.shuffle_vector(limit, limit, places([0] * n))
        mask = builder.icmp_signed("<", places(list(range(n))), limit)
        arguments = [pointer, place(array.dtype.bitwidth // 8), mask, ir.Constant(kind, None)]
        load = ir.FunctionType(kind, [argument.type for argument in arguments])
        name = f"llvm.masked.load.v{n}f{array.dtype.bitwidth}.p0"
        return builder.call(cgutils.get_or_insert_function(builder.module, load, name), arguments)

    return vector(array, types.intp, types.intp), code


@intrinsic
def store(typing_context, array, index, value):
    """Write the vector ``value`` to ``array[index]`` and the places after it."""

    def code(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
        pointer = builder.bitcast(address, context.get_value_type(value).as_pointer())
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@intrinsic
def broadcast(typing_context, array, index):
    """Return a vector with all lanes equal to ``array[index]``."""
    vector = Vector(array.dtype)

    def code(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        return _spread(context, builder, vector, builder.load(address))

    return vector(array, types.intp), code


@intrinsic
def peek(typing_context, array, index):
    """Return ``array[index]`` without the test for negative indices, which keeps the compiler from using vectors."""

    def code(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), code


@intrinsic
def poke(typing_context, array, index, value):
    """Write ``value`` to ``array[index]`` without the test for negative indices."""

    def code(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), code


@intrinsic
def splat(typing_context, array, scalar):
    """Return a vector for ``array``'s dtype with all lanes equal to ``scalar``."""
    vector = Vector(array.dtype)

    def code(context, builder, signature, arguments):
        return _spread(context, builder, vector, arguments[1])

    return vector(array, array.dtype), code


@intrinsic
def fma(typing_context, a, b, c):
    """Return a * b + c, as one fused instruction where the machine has it."""

    def code(context, builder, signature, arguments):
        product = builder.fmul(arguments[0], arguments[1], flags=("contract",))
        return builder.fadd(product, arguments[2], flags=("contract",))

    return a(a, b, c), code


class Mask(types.Type):
    """Numba's type of what a comparison of two vectors gives: true or false in every lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.lanes))


@intrinsic
def select(typing_context, mask, a, b):
    """Return ``a`` in the lanes where ``mask`` is true and ``b`` in the others."""

    def code(context, builder, signature, arguments):
        return builder.select(*arguments)

    return a(mask, a, b), code


@intrinsic
def maximum(typing_context, a, b):
    """Return the larger of each two lanes; ``b`` where one of them is not a number."""

    def code(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return a(a, b), code


@intrinsic
def minimum(typing_context, a, b):
    """Return the smaller of each two lanes; ``b`` where one of them is not a number."""

    def code(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return a(a, b), code


def _shuffle(name, order, doc):
    """Make ``name(a, b)``, which picks the lanes ``order(lanes)`` out of those of a followed by those of b."""

    def shuffle(typing_context, a, b):
        def code(context, builder, signature, arguments):
            places = ir.Constant(ir.VectorType(ir.IntType(32), a.lanes), order(a.lanes))
            return builder.shuffle_vector(*arguments, places)

        return a(a, b), code

    shuffle.__name__, shuffle.__doc__ = name, doc
    return intrinsic(shuffle)


even = _shuffle("even", lambda n: list(range(0, 2 * n, 2)), "Return a[0] a[2] .. b[0] b[2] ..: every second number.")
odd = _shuffle("odd", lambda n: list(range(1, 2 * n, 2)), "Return a[1] a[3] .. b[1] b[3] ..")
zip_low = _shuffle(
    "zip_low", lambda n: [i // 2 + n * (i % 2) for i in range(n)], "Return a[0] b[0] a[1] b[1] .. of the first halves."
)
zip_high = _shuffle(
    "zip_high", lambda n: [n // 2 + i // 2 + n * (i % 2) for i in range(n)], "Return the same of the second halves."
)


def _operator(function, build):
    """Let ``function`` (+, <, ...) work on two vectors; ``build`` makes its one instruction."""

    @intrinsic
    def apply(typing_context, a, b):
        def code(context, builder, signature, arguments):
            return build(builder, *arguments)

        return (Mask(a.lanes) if function in _COMPARISONS else a)(a, b), code

    @overload(function)
    def _choose(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: apply(a, b)
        return None


_COMPARISONS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}
for _function, _sign in _COMPARISONS.items():  # false where a lane is not a number
    _operator(_function, lambda builder, a, b, sign=_sign: builder.fcmp_ordered(sign, a, b))
for _function, _name in {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}.items():
    _operator(_function, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))
