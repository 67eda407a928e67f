"""Sixteen neurons at once, written as equations: what `load` gives can be added, multiplied and compared.

    u = a * load(real, v) + g * load(real, x)

Every lane rounds as the scalar expression does: no sum is reordered and no product fused into one. Loads may reach
up to 15 places past a layer's end, so every array ends in as many spare places; `store` keeps to the first `count`.
Without the compiler the lanes are small numpy arrays.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

from nets.kernels.jit import op

LANES = 16
if config.DISABLE_JIT:
    np.seterr(over="ignore", invalid="ignore")  # of what lies past a layer's end, and is never stored


class Lanes(types.Type):  # type: ignore[misc]  # numba ships no types
    """Sixteen numbers of one kind in a register."""

    def __init__(self, element: Any) -> None:
        self.element = element
        super().__init__(name=f"Lanes({element})")


@register_model(Lanes)
class _LanesModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Any) -> None:
        kind = ir.FloatType() if lanes.element == types.float32 else ir.DoubleType()
        super().__init__(manager, lanes, ir.VectorType(kind, LANES))


def _same_lanes(self: Any, arguments: Any, keywords: Any) -> Any:
    left, right = arguments
    return signature(left, left, right) if isinstance(left, Lanes) and left == right else None


for _operator, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    infer_global(_operator)(type(f"_Lanes_{_instruction}", (AbstractTemplate,), {"generic": _same_lanes}))

    def _lower(context: Any, builder: Any, sig: Any, arguments: Any, instruction: str = _instruction) -> Any:
        return getattr(builder, instruction)(*arguments)

    lower_builtin(_operator, Lanes, Lanes)(_lower)


def _pointer(context: Any, builder: Any, array: Any, value: Any, at: Any) -> Any:
    kind = ir.VectorType(context.get_data_type(array.dtype), LANES)
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [at]), kind.as_pointer())


def _load(array: Any, at: Any) -> Any:
    return array[int(at) : int(at) + LANES].copy()


def _emit_load(typing: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, sig.args[0], *arguments)
        return builder.load(pointer, align=context.get_abi_sizeof(context.get_data_type(sig.args[0].dtype)))

    return Lanes(array.dtype)(array, types.uint64), generate


load = _load if config.DISABLE_JIT else intrinsic(_emit_load)
"""load(array, at): the sixteen numbers from an offset on, unsigned 64 bit."""


def _spread(array: Any, at: Any) -> Any:
    return np.full(LANES, array[int(at)])


def _emit_spread(typing: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, arguments[0]).data
        kind = ir.VectorType(context.get_data_type(sig.args[0].dtype), LANES)
        return _broadcast(builder, builder.load(builder.gep(data, [arguments[1]])), kind)

    return Lanes(array.dtype)(array, types.uint64), generate


spread = _spread if config.DISABLE_JIT else intrinsic(_emit_spread)
"""spread(array, at): one number in every lane."""


def _broadcast(builder: Any, value: Any, kind: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)


def _store(array: Any, at: Any, lanes: Any, count: Any) -> None:
    kept = min(int(count), LANES)
    array[int(at) : int(at) + kept] = lanes[:kept]


def _emit_store(typing: Any, array: Any, at: Any, lanes: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        array, at, lanes, count = arguments
        align = context.get_abi_sizeof(context.get_data_type(sig.args[0].dtype))
        whole = builder.icmp_signed(">=", count, ir.Constant(ir.IntType(64), LANES))
        data = context.make_array(sig.args[0])(context, builder, array).data
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                builder.store(lanes, _pointer(context, builder, sig.args[0], array, at), align=align)
            with otherwise:
                # one by one: what follows is another site's
                place = cgutils.alloca_once_value(builder, lanes)
                first = builder.bitcast(place, context.get_data_type(sig.args[0].dtype).as_pointer())
                with cgutils.for_range(builder, count) as loop:
                    value = builder.load(builder.gep(first, [loop.index]))
                    builder.store(value, builder.gep(data, [builder.add(at, loop.index)]))
        return context.get_dummy_value()

    return types.void(array, types.uint64, lanes, types.int64), generate


store = _store if config.DISABLE_JIT else intrinsic(_emit_store)
"""store(array, at, lanes, count): the first `count` of them, all where it is 16 or more."""


def _larger(left: Any, right: Any) -> Any:
    return np.where(left > right, left, right)


def _emit_larger(typing: Any, left: Any, right: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return left(left, right), generate


larger = _larger if config.DISABLE_JIT else intrinsic(_emit_larger)
"""larger(left, right): lane by lane `left if left > right else right`."""


def _reached(left: Any, right: Any, count: Any) -> int:
    return sum(int(bit) << k for k, bit in enumerate((left >= right)[: int(count)]))


def _emit_reached(typing: Any, left: Any, right: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        left, right, count = arguments
        word = ir.IntType(64)
        bits = builder.zext(builder.bitcast(builder.fcmp_ordered(">=", left, right), ir.IntType(LANES)), word)
        few = builder.icmp_signed("<", count, ir.Constant(word, LANES))
        mask = builder.sub(builder.shl(ir.Constant(word, 1), count), ir.Constant(word, 1))
        return builder.select(few, builder.and_(bits, mask), bits)

    return types.int64(left, right, types.int64), generate


reached = _reached if config.DISABLE_JIT else intrinsic(_emit_reached)
"""reached(left, right, count): bit k is set where left >= right in lane k, k < count."""


def _first_bit(bits: Any) -> Any:
    return (int(bits) & -int(bits)).bit_length() - 1


def _emit_first_bit(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


first_bit = _first_bit if config.DISABLE_JIT else intrinsic(_emit_first_bit)
"""first_bit(bits): the number of the lowest bit that is set, of at least one."""


@op
def coefficient(weights, coef, n, which, j, same):  # type: ignore[no-untyped-def]
    """Coefficient `which` of the sixteen neurons from j on: one number where all `n` neurons are the `same`."""
    at = np.uint64(coef + which * n)
    return spread(weights, at) if same != 0 else load(weights, at + np.uint64(j))
