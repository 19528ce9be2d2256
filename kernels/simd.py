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

from minicnn.kernels.jit import kernel


def _host_vector_bytes() -> int:
    if forced := os.environ.get("MINICNN_VECTOR_BYTES"):
        return int(forced)
    features = binding.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


VECTOR_BYTES = _host_vector_bytes()


class Vector(types.Type):
    """Numba's type of ``lanes`` numbers of one dtype: float32 or float64, or integers for the bits of these."""

    def __init__(self, dtype: types.Number) -> None:
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
    return _spread_over(builder, context.get_value_type(vector), scalar)


def _spread_over(builder, kind, scalar):
    nothing, place = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(nothing, scalar, ir.Constant(place, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(place, kind.count), [0] * kind.count))


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
def prefetch(typing_context, array, index):
    """Ask for the cache line of ``array[index]``, which will be wanted soon; any index will do."""

    def code(context, builder, signature, arguments):
        address = builder.bitcast(_address(context, builder, signature.args[0], *arguments), cgutils.voidptr_t)
        number = cgutils.int32_t
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, everywhere, data = (ir.Constant(number, value) for value in (1, 3, 1))
        builder.call(ask, [address, read, everywhere, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), code


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
def counting(typing_context, array):
    """Return the vector 0, 1, 2, .. for ``array``'s dtype."""
    vector = Vector(array.dtype)

    def code(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(vector), [float(i) for i in range(vector.lanes)])

    return vector(array), code


def _lanewise(build, *kinds, result=None):
    """Type and code of an operation lane by lane; a plain number beside vectors stands for a vector full of it."""
    vector = next(kind for kind in kinds if isinstance(kind, Vector))

    def code(context, builder, signature, arguments):
        vectors = [
            _spread(context, builder, vector, value) if kind == vector.dtype else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        return build(builder, *vectors)

    given = [kind if isinstance(kind, (Vector, Mask)) else vector.dtype for kind in kinds]
    return (result or vector)(*given), code


@intrinsic
def fma(typing_context, a, b, c):
    """Return a * b + c, as one fused instruction where the machine has it."""

    def build(builder, a, b, c):
        return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))

    return _lanewise(build, a, b, c)


@intrinsic
def sqrt(typing_context, a):
    """Return the square root of each lane."""

    def code(context, builder, signature, arguments):
        kind = arguments[0].type
        name = f"llvm.sqrt.v{a.lanes}f{a.dtype.bitwidth}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name), arguments
        )

    return a(a), code


@intrinsic
def lane(typing_context, a, index):
    """Return the number in one lane."""

    def code(context, builder, signature, arguments):
        return builder.extract_element(*arguments)

    return a.dtype(a, types.intp), code


@intrinsic
def widen(typing_context, a):
    """Return the lanes as a tuple of float64 vectors (two of them for float32), in which long sums are safe."""
    wide = Vector(types.float64)
    parts = types.UniTuple(wide, a.lanes // wide.lanes)

    def code(context, builder, signature, arguments):
        kind = context.get_value_type(wide)
        results = []
        for first in range(0, a.lanes, wide.lanes):
            places = ir.Constant(ir.VectorType(ir.IntType(32), wide.lanes), list(range(first, first + wide.lanes)))
            part = builder.shuffle_vector(arguments[0], arguments[0], places)
            results.append(part if part.type == kind else builder.fpext(part, kind))
        return context.make_tuple(builder, signature.return_type, results)

    return parts(a), code


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
    return _lanewise(lambda builder, mask, a, b: builder.select(mask, a, b), mask, a, b)


@intrinsic
def maximum(typing_context, a, b):
    """Return the larger of each two lanes; ``b`` where one of them is not a number."""
    return _lanewise(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b), a, b)


@intrinsic
def minimum(typing_context, a, b):
    """Return the smaller of each two lanes; ``b`` where one of them is not a number."""
    return _lanewise(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b), a, b)


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


@intrinsic
def square(typing_context, vector):
    """Return a tuple with ``vector`` as often as it has lanes: room for a square that ``transpose`` can take."""
    rows = types.UniTuple(vector, vector.lanes)

    def code(context, builder, signature, arguments):
        return context.make_tuple(builder, rows, [arguments[0]] * vector.lanes)

    return rows(vector), code


@intrinsic
def transpose(typing_context, rows):
    """Return the tuple of vectors whose lane j of vector i is lane i of vector j of the tuple ``rows`` (as many as
    lanes).

    A square is transposed when the two off-diagonal quarters change places and each quarter is transposed. The swaps of
    all sizes are done for pairs of whole vectors: 8 x 8 floats take 24 instructions instead of 128 moves.
    """
    vector = rows.dtype

    def code(context, builder, signature, arguments):
        vectors = [builder.extract_value(arguments[0], i) for i in range(vector.lanes)]
        size = vector.lanes // 2
        while size:
            for i in range(vector.lanes):
                if i & size == 0:
                    low = [j if j & size == 0 else vector.lanes + j - size for j in range(vector.lanes)]
                    pair = vectors[i], vectors[i + size]
                    for row, order in ((i, low), (i + size, [j + size for j in low])):
                        places = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), order)
                        vectors[row] = builder.shuffle_vector(*pair, places)
            size //= 2
        result = arguments[0]
        for i in range(vector.lanes):
            result = builder.insert_value(result, vectors[i], i)
        return result

    return rows(rows), code


def _are_integers(vector):
    return isinstance(vector.type.element, ir.IntType)


def _operator(function, build):
    """Let ``function`` (+, <, ...) work on two vectors, or a vector and a number; ``build`` makes the instruction."""

    @intrinsic
    def apply(typing_context, a, b):
        vector = a if isinstance(a, Vector) else b
        return _lanewise(build, a, b, result=Mask(vector.lanes) if function in _COMPARISONS else vector)

    @overload(function)
    def _choose(a, b):
        vectors = {kind for kind in (a, b) if isinstance(kind, Vector)}
        if len(vectors) == 1 and all(isinstance(kind, (Vector, types.Number)) for kind in (a, b)):
            return lambda a, b: apply(a, b)
        return None


_COMPARISONS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}
for _function, _sign in _COMPARISONS.items():  # false where a lane is not a number
    _operator(_function, lambda builder, a, b, sign=_sign: builder.fcmp_ordered(sign, a, b))
_operator(operator.add, lambda builder, a, b: (builder.add if _are_integers(a) else builder.fadd)(a, b))
for _function, _name in {
    operator.iadd: "fadd",
    operator.sub: "fsub",
    operator.isub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
    operator.and_: "and_",  # this one and the next work on ``bits``
    operator.or_: "or_",
    operator.lshift: "shl",
    operator.rshift: "lshr",
}.items():
    _operator(_function, lambda builder, a, b, name=_name: getattr(builder, name)(a, b))


def _mask_operator(function, build):
    """Let ``function`` (&, |, ~) work on masks."""

    @intrinsic
    def apply(typing_context, a, b):
        return a(a, b), lambda context, builder, signature, arguments: build(builder, *arguments)

    if function is operator.invert:

        @overload(function)
        def _invert(a):
            return (lambda a: apply(a, a)) if isinstance(a, Mask) else None

    else:

        @overload(function)
        def _combine(a, b):
            return (lambda a, b: apply(a, b)) if isinstance(a, Mask) and a == b else None


_mask_operator(operator.and_, lambda builder, a, b: builder.and_(a, b))
_mask_operator(operator.or_, lambda builder, a, b: builder.or_(a, b))
_mask_operator(operator.invert, lambda builder, a, b: builder.not_(a))


def _same_bits(typing_context, x, dtypes):
    vector = Vector(dtypes[x.dtype.bitwidth])

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(vector))

    return vector(x), code


@intrinsic
def bits(typing_context, x):
    """Return the bits of a vector's numbers as integers, for ``& | << >>``: sign, exponent, mantissa from the top."""
    return _same_bits(typing_context, x, {32: types.int32, 64: types.int64})


@intrinsic
def floats(typing_context, x):
    """Return the numbers that have these bits: undoes ``bits``."""
    return _same_bits(typing_context, x, {32: types.float32, 64: types.float64})


# ------------------------------------------------------------------------------------------- parts of a vector


def _first(builder, lanes, count):
    """True in the first ``count`` lanes."""
    kind = ir.VectorType(ir.IntType(32), lanes)
    nothing, place = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    one = builder.insert_element(nothing, builder.trunc(count, place), ir.Constant(place, 0))
    counts = builder.shuffle_vector(one, nothing, ir.Constant(kind, [0] * lanes))
    return builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), counts)


def _masked(builder, name, kind, result, arguments):
    """Call LLVM's masked load or store, which never touches the memory of a lane whose mask is false."""
    function = ir.FunctionType(result, [argument.type for argument in arguments])
    suffix = f"v{kind.count}{'f32' if kind.element == ir.FloatType() else 'f64'}.p0"
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.masked.{name}.{suffix}"), arguments
    )


@intrinsic
def _load_first(typing_context, array, index, count, fill):
    vector = Vector(array.dtype)

    def code(context, builder, signature, arguments):
        array, index, count, fill = arguments
        kind = context.get_value_type(vector)
        pointer = builder.bitcast(_address(context, builder, signature.args[0], array, index), kind.as_pointer())
        align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
        others = _spread(context, builder, vector, fill)
        return _masked(builder, "load", kind, kind, [pointer, align, _first(builder, vector.lanes, count), others])

    return vector(array, types.intp, types.intp, array.dtype), code


@kernel
def load_part(array, index, count, fill):
    """``load``, but of ``count`` numbers only if that is less than a vector; the other lanes are ``fill``."""
    if count < lanes(array):
        return _load_first(array, index, count, fill)
    return load(array, index)


@kernel
def store_part(array, index, count, value):
    """``store``, but of the first ``count`` lanes only if these are not all."""
    if count < lanes(array):
        for i in range(count):  # a masked store takes longer on AMD: batch norm of 7 x 7 maps 0.25 ms instead of 0.18
            poke(array, index + i, lane(value, i))
    else:
        store(array, index, value)


@kernel
def total(vector):
    """Return the sum of all lanes, in every lane."""
    width = lanes(vector)
    while width > 1:
        vector = even(vector, vector) + odd(vector, vector)
        width //= 2
    return vector


@kernel
def highest(vector):
    """Return the maximum of all lanes, in every lane."""
    width = lanes(vector)
    while width > 1:
        vector = maximum(even(vector, vector), odd(vector, vector))
        width //= 2
    return vector


# --------------------------------------------------------------------------------------------------- pixels
# Images are uint8, 0 .. 255, or float32, 0 .. 1; either way a vector of pixels is one of float32.
PIXELS = VECTOR_BYTES // 4


@intrinsic
def load_pixels(typing_context, array, index):
    """``load`` of an image, bytes become float32: as many as a vector of float32 holds."""
    vector = Vector(types.float32)

    def code(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        kind = ir.VectorType(context.get_value_type(array.dtype), vector.lanes)
        values = builder.load(builder.bitcast(address, kind.as_pointer()), align=array.dtype.bitwidth // 8)
        if array.dtype == types.float32:
            return values
        whole = builder.zext(values, ir.VectorType(ir.IntType(32), vector.lanes))
        return builder.sitofp(whole, context.get_value_type(vector))

    return vector(array, types.intp), code


@intrinsic
def store_pixels(typing_context, array, index, value):
    """``store`` into an image; what is behind the point is cut off for bytes, which must lie in 0 .. 255."""

    def code(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments[:2])
        values = arguments[2]
        if array.dtype == types.uint8:
            whole = builder.fptosi(values, ir.VectorType(ir.IntType(32), value.lanes))
            values = builder.trunc(whole, ir.VectorType(ir.IntType(8), value.lanes))
        builder.store(values, builder.bitcast(address, values.type.as_pointer()), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code
