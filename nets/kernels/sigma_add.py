"""Adds the scaled weights of a group of changes to some rows of the sums, which stay in registers meanwhile.

    z[j] <- (((z[j] + f0 w0[j]) + f1 w1[j]) + ...)      for the numbers j of each row

Every sum has the order of the changes and every product its own rounding, so that groups of any size give the same
bits as one change at a time. A chunk, which `nets.sigma_delta.chunks` writes, is some rows of equally many pieces of
one width; each of its FORMS has machine code of its own.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from nets.kernels.sigma_layout import FORMS, K_FORM, K_HEAD, K_SIZE, K_W, K_Z

WORD, LONG = ir.IntType(32), ir.IntType(64)


def _add(
    real: Any, z: Any, weights: Any, dyn: Any, places: Any, factors: Any, group: Any, ints: Any, chunk: Any
) -> None:
    """The same in Python, for runs without the compiler."""
    width, rows, pieces = FORMS[int(ints[int(chunk) + K_FORM])]
    for k in range(int(group)):
        factor, start = real[int(factors) + k], int(dyn[int(places) + k])
        for r in range(rows):
            at = int(chunk) + K_HEAD + r * K_SIZE
            to, w = int(z) + int(ints[at + K_Z]), start + int(ints[at + K_W])
            for j in range(pieces * width):
                real[to + j] += factor * weights[w + j]


def _emit(
    typing: Any, real: Any, z: Any, weights: Any, dyn: Any, places: Any, factors: Any, group: Any, ints: Any, chunk: Any
) -> Any:
    """Arrays; `z`, `places`, `factors`, `chunk`: unsigned offsets into `real`, `dyn`, `real` and `ints`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(array: int, place: Any) -> Any:
            made = context.make_array(signature.args[array])
            return builder.gep(made(context, builder, arguments[array]).data, [place])

        number = signature.args[0].dtype
        element, align = context.get_data_type(number), number.bitwidth // 8
        target, source = pointer(0, arguments[1]), pointer(2, ir.Constant(LONG, 0))
        places, factors, group = pointer(3, arguments[4]), pointer(0, arguments[5]), arguments[6]
        table = pointer(7, arguments[8])
        change = cgutils.alloca_once(builder, LONG)
        zero, one = ir.Constant(LONG, 0), ir.Constant(LONG, 1)

        def entry(place: int) -> Any:
            return builder.load(builder.gep(table, [ir.Constant(LONG, place)]))

        def beside(base: Any, place: Any, kind: Any, width: int, pieces: int) -> list[Any]:
            row = builder.gep(base, [builder.sext(place, LONG)])
            places = [builder.gep(row, [ir.Constant(LONG, p * width)]) for p in range(pieces)]
            return [builder.bitcast(place, kind.as_pointer()) for place in places]

        after = builder.append_basic_block("after")
        choose = builder.switch(entry(K_FORM), after)
        for form, (width, rows, pieces) in enumerate(FORMS):
            kind = element if width == 1 else ir.VectorType(element, width)
            name = f"{width}x{rows}x{pieces}"
            begin, each, end = (builder.append_basic_block(f"{what}.{name}") for what in ("to", "add", "end"))
            choose.add_case(ir.Constant(WORD, form), begin)
            builder.position_at_end(begin)
            heads = [K_HEAD + r * K_SIZE for r in range(rows)]
            targets = [to for head in heads for to in beside(target, entry(head + K_Z), kind, width, pieces)]
            totals = [cgutils.alloca_once(builder, kind) for _ in targets]
            for total, to in zip(totals, targets, strict=True):
                builder.store(builder.load(to, align=align), total)
            weights_at = [entry(head + K_W) for head in heads]
            builder.store(zero, change)
            builder.branch(each)
            builder.position_at_end(each)
            k = builder.load(change)
            start = builder.gep(source, [builder.load(builder.gep(places, [k]))])
            factor = _spread(builder, builder.load(builder.gep(factors, [k])), kind, width)
            sources = [w for at in weights_at for w in beside(start, at, kind, width, pieces)]
            for total, w in zip(totals, sources, strict=True):
                weight = builder.load(w, align=align)
                builder.store(builder.fadd(builder.load(total), builder.fmul(factor, weight)), total)
            following = builder.add(k, one)
            builder.store(following, change)
            again = builder.cbranch(builder.icmp_unsigned("<", following, group), each, end)
            again.set_metadata("llvm.loop", _as_written(builder.module))
            builder.position_at_end(end)
            for total, to in zip(totals, targets, strict=True):
                builder.store(builder.load(total), to, align=align)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(real, z, weights, dyn, places, factors, group, ints, chunk), generate


def _as_written(module: Any) -> Any:
    """Says of a loop, which must be named by metadata of its own, that it is not to be unrolled: groups are small."""
    loop = ir.MDValue(module, [], name=str(len(module.metadata)))
    loop.operands = (loop, module.add_metadata(["llvm.loop.unroll.disable"]))
    return loop


def _spread(builder: Any, factor: Any, kind: Any, width: int) -> Any:
    if width == 1:
        return factor
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), factor, ir.Constant(WORD, 0))
    lanes = ir.Constant(ir.VectorType(WORD, width), [0] * width)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)


add_chunk = _add if config.DISABLE_JIT else intrinsic(_emit)
"""add_chunk(real, z, weights, dyn, places, factors, group, ints, chunk): to each row, from z + its K_Z on, change k
adds real[factors + k] times the weights from dyn[places + k] + its K_W on; group is at least 1, no rows overlap."""
