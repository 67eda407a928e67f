"""Adds scaled weight rows to a drive with vector instructions, in the order a scalar loop would.

    x[j] <- (((x[j] + f0 w0[j]) + f1 w1[j]) + ...)      j < n

Several rows a pass read and write x once and keep more of the memory system busy; every sum has the same order and
every product its own rounding, so one row at a time gives the same bits. Written as vector code because the
compiler, which cannot know that x and w never overlap, leaves runs shorter than 32 to its scalar loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTHS = (16, 8, 4, 1)


def _add(real: Any, x: Any, weights: Any, rows: Any, factors: Any, n: Any) -> None:
    """The same in Python, for runs without the compiler."""
    for j in range(int(n)):
        total = real[int(x) + j]
        for w, f in zip(rows, factors, strict=True):
            total = total + f * weights[int(w) + j]
        real[int(x) + j] = total


def _emit(typing: Any, real: Any, x: Any, weights: Any, rows: Any, factors: Any, n: Any) -> Any:
    """`real` and `weights` are arrays; `rows` and `factors` tuples of offsets into `weights` and of scales."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, at, source, first, scale, count = arguments
        element = context.get_data_type(signature.args[0].dtype)
        data_to = context.make_array(signature.args[0])(context, builder, to).data
        data_from = context.make_array(signature.args[2])(context, builder, source).data
        target = builder.gep(data_to, [at])
        starts = [builder.gep(data_from, [w]) for w in cgutils.unpack_tuple(builder, first, signature.args[3].count)]
        scales = list(cgutils.unpack_tuple(builder, scale, signature.args[4].count))
        align = context.get_abi_sizeof(element)
        place = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), 0))
        for width in WIDTHS:
            kind = element if width == 1 else ir.VectorType(element, width)
            spread = [_spread(builder, factor, kind, width) for factor in scales]
            step = ir.Constant(ir.IntType(64), width)
            check, body, after = (builder.append_basic_block(f"{name}.{width}") for name in ("check", "body", "after"))
            builder.branch(check)
            builder.position_at_end(check)
            j = builder.load(place)
            builder.cbranch(builder.icmp_unsigned("<=", builder.add(j, step), count), body, after)
            builder.position_at_end(body)

            def pointer(base: Any, j: Any = j, kind: Any = kind) -> Any:
                return builder.bitcast(builder.gep(base, [j]), kind.as_pointer())

            total = builder.load(pointer(target), align=align)
            for start, factor in zip(starts, spread, strict=True):
                total = builder.fadd(total, builder.fmul(factor, builder.load(pointer(start), align=align)))
            builder.store(total, pointer(target), align=align)
            builder.store(builder.add(j, step), place)
            builder.branch(check)
            builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(real, x, weights, rows, factors, n), generate


def _spread(builder: Any, factor: Any, kind: Any, width: int) -> Any:
    if width == 1:
        return factor
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), factor, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)


add_rows = _add if config.DISABLE_JIT else intrinsic(_emit)
"""add_rows(real, x, weights, rows, factors, n): offsets and n unsigned 64 bit, factors of the arrays' own type."""
