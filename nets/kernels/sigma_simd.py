"""Looks at neurons several at once, with vector instructions, and lists those that are to be told of.

    requantise   v = levels y,  y = x where x > 0, else slope x;   where |v - q| >= limit and rint(v) is not q:
                 list (neuron, rint(v) - q) and set q to rint(v), half to even, at most MOST either way
    requantise_faded   the same for x = z + zl; also says whether any |zl| levels is above GONE
    gather       where q is not 0: list (neuron, q)
    differing    where x, as float32, is not what was shown: list the neuron

Every lane does, in the type of the sums, what a loop over single neurons would do. A call looks at `lanes(x)` neurons,
or at `many` if they are fewer; what lies behind them in the arrays is read, and left as it is, but for the list, whose
rest is overwritten. Where most calls list something, `eager` ones do without a branch that nothing could predict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from nets.kernels.sigma_lanes import BYTES, LONG, Lanes
from nets.kernels.sigma_layout import GONE, MOST

CHANGED, HELD, HAD, CUT, ALIVE = 0, 8, 16, 24, 32
"""At which bit of what `requantise` returns stand: changes, non-zero after, before, cut off at MOST, any above GONE."""
WHOLE = {32: 1.5 * 2.0**23, 64: 1.5 * 2.0**52}
"""By the bits of a number: adding and taking it away rounds a small one to whole numbers, half to even."""


def _lanes(values: Any) -> Any:
    return np.uint64(BYTES // values.itemsize)


def _requantise(
    real: Any, z: Any, di: Any, q: Any, index: Any, change: Any, first: Any, many: Any, eager: Any, rule: Any
) -> int:
    """The same in Python, for runs without the compiler."""
    x = real[int(z) : int(z) + min(int(_lanes(real)), int(many))]
    return _look(x, di, int(q), int(index), int(change), int(first), rule)


def _requantise_faded(
    real: Any, z: Any, zl: Any, di: Any, q: Any, index: Any, change: Any, first: Any, many: Any, eager: Any, rule: Any
) -> int:
    n = min(int(_lanes(real)), int(many))
    faded = real[int(zl) : int(zl) + n]
    told = _look(real[int(z) : int(z) + n] + faded, di, int(q), int(index), int(change), int(first), rule)
    return told | int((np.abs(faded) * rule[0] > real.dtype.type(GONE)).any()) << ALIVE


def _look(values: Any, di: Any, q: int, index: int, change: int, first: int, rule: Any) -> int:
    kind = values.dtype.type
    levels, slope, limit = (kind(number) for number in rule)
    most, whole = kind(MOST), kind(WHOLE[8 * values.itemsize])
    over = changed = held = had = cut = 0
    for j, x in enumerate(values):
        old = int(di[q + j])
        v = levels * (x if x > 0 else x * slope)
        new = old
        if abs(v - kind(old)) >= limit:
            over += 1
            new = int((min(max(v, -most), most) + whole) - whole)
            cut += abs(v) > most
        if new != old:
            di[index + changed], di[change + changed] = first + j, new - old
            di[q + j] = new
            changed += 1
        held, had = held + (new != 0), had + (old != 0)
    return changed << CHANGED | held << HELD | had << HAD | int(cut) << CUT if over else 0


def _emit_requantise(
    typing: Any,
    real: Any,
    z: Any,
    di: Any,
    q: Any,
    index: Any,
    change: Any,
    first: Any,
    many: Any,
    eager: Any,
    rule: Any,
) -> Any:
    """Arrays `real` and `di`; unsigned offsets into them; `first`, the neuron of lane 0; `rule` of the sums' type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(context, builder, signature, arguments, signature.args[0].dtype)
        rule_of = [lanes.spread(builder.extract_value(arguments[9], k)) for k in range(3)]
        return _emit_look(builder, lanes, lanes.load(0, arguments[1]), 2, arguments[3:9], rule_of)

    return types.int64(real, z, di, q, index, change, first, many, eager, rule), generate


def _emit_requantise_faded(
    typing: Any,
    real: Any,
    z: Any,
    zl: Any,
    di: Any,
    q: Any,
    index: Any,
    change: Any,
    first: Any,
    many: Any,
    eager: Any,
    rule: Any,
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(context, builder, signature, arguments, signature.args[0].dtype)
        rule_of = [lanes.spread(builder.extract_value(arguments[10], k)) for k in range(3)]
        faded = lanes.load(0, arguments[2])
        told = _emit_look(builder, lanes, builder.fadd(lanes.load(0, arguments[1]), faded), 3, arguments[4:10], rule_of)
        above = builder.fcmp_ordered(">", builder.fmul(lanes.size(faded), rule_of[0]), lanes.all(GONE))
        alive = lanes.any(builder.and_(above, lanes.under(arguments[8])))
        return builder.or_(told, builder.shl(builder.zext(alive, LONG), ir.Constant(LONG, ALIVE)))

    return types.int64(real, z, zl, di, q, index, change, first, many, eager, rule), generate


def _emit_look(builder: Any, lanes: Lanes, x: Any, di: int, places: Any, rule: Any) -> Any:
    """`di` is the number of that argument; `places`: q, index, change, first, many, eager."""
    (q, index, change, first, many, eager), (levels, slope, limit) = places, rule
    old = lanes.load(di, q)
    positive = builder.fcmp_ordered(">", x, lanes.all(0.0))
    v = builder.fmul(levels, builder.select(positive, x, builder.fmul(x, slope)))
    apart = lanes.size(builder.fsub(v, builder.sitofp(old, lanes.reals)))
    looked = lanes.under(many)
    over = builder.and_(builder.fcmp_ordered(">=", apart, limit), looked)
    result = cgutils.alloca_once(builder, LONG)
    builder.store(ir.Constant(LONG, 0), result)
    with builder.if_then(builder.or_(lanes.any(over), eager)):
        most, least = lanes.all(MOST), lanes.all(-MOST)
        whole = lanes.all(WHOLE[BYTES * 8 // lanes.lanes])
        low = builder.select(builder.fcmp_ordered(">", v, least), v, least)
        near = builder.select(builder.fcmp_ordered("<", low, most), low, most)
        new = builder.fptosi(builder.fsub(builder.fadd(near, whole), whole), lanes.ints)
        new = builder.select(over, new, old)
        moved = builder.icmp_signed("!=", new, old)
        lanes.store(di, q, new)
        lanes.pack(di, index, lanes.numbers(first), moved)
        lanes.pack(di, change, builder.sub(new, old), moved)
        counts = (
            (moved, CHANGED),
            (builder.and_(looked, builder.icmp_signed("!=", new, lanes.none())), HELD),
            (builder.and_(looked, builder.icmp_signed("!=", old, lanes.none())), HAD),
            (builder.and_(over, builder.fcmp_ordered(">", lanes.size(v), most)), CUT),
        )
        total = ir.Constant(LONG, 0)
        for mask, place in counts:
            total = builder.or_(total, builder.shl(lanes.count(mask), ir.Constant(LONG, place)))
        builder.store(total, result)
    return builder.load(result)


def _gather(di: Any, q: Any, index: Any, change: Any, first: Any, many: Any) -> int:
    found = 0
    for j in range(min(int(_lanes(di)), int(many))):
        if di[int(q) + j] != 0:
            di[int(index) + found], di[int(change) + found] = int(first) + j, di[int(q) + j]
            found += 1
    return found


def _emit_gather(typing: Any, di: Any, q: Any, index: Any, change: Any, first: Any, many: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(context, builder, signature, arguments, types.int32)
        held = lanes.load(0, arguments[1])
        mask = builder.and_(builder.icmp_signed("!=", held, lanes.none()), lanes.under(arguments[5]))
        with builder.if_then(lanes.any(mask)):
            lanes.pack(0, arguments[2], lanes.numbers(arguments[4]), mask)
            lanes.pack(0, arguments[3], held, mask)
        return lanes.count(mask)

    return types.int64(di, q, index, change, first, many), generate


def _differing(real: Any, z: Any, wide: Any, shown: Any, di: Any, index: Any, first: Any, many: Any) -> int:
    found = 0
    for j in range(min(int(_lanes(wide)), int(many))):
        if np.float32(real[int(z) + j]) != wide[int(shown) + j]:
            di[int(index) + found] = int(first) + j
            found += 1
    return found


def _emit_differing(
    typing: Any, real: Any, z: Any, wide: Any, shown: Any, di: Any, index: Any, first: Any, many: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(context, builder, signature, arguments, signature.args[2].dtype)
        x = lanes.load(0, arguments[1])
        if signature.args[0].dtype == types.float64:
            x = builder.fptrunc(x, ir.VectorType(ir.FloatType(), lanes.lanes))
        differs = builder.fcmp_unordered("!=", builder.fpext(x, lanes.reals), lanes.load(2, arguments[3]))
        mask = builder.and_(differs, lanes.under(arguments[7]))
        with builder.if_then(lanes.any(mask)):
            lanes.pack(4, arguments[5], lanes.numbers(arguments[6]), mask)
        return lanes.count(mask)

    return types.int64(real, z, wide, shown, di, index, first, many), generate


def _emit_lanes(typing: Any, values: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(LONG, BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.uint64(values), generate


lanes = _lanes if config.DISABLE_JIT else intrinsic(_emit_lanes)
"""lanes(array): how many numbers of its type a call looks at."""

requantise = _requantise if config.DISABLE_JIT else intrinsic(_emit_requantise)
"""requantise(real, z, di, q, index, change, first, many, eager, (levels, slope, limit)): see above."""

requantise_faded = _requantise_faded if config.DISABLE_JIT else intrinsic(_emit_requantise_faded)
"""requantise_faded(real, z, zl, di, q, index, change, first, many, eager, (levels, slope, limit)): see above."""

gather = _gather if config.DISABLE_JIT else intrinsic(_emit_gather)
"""gather(di, q, index, change, first, many): how many were listed."""

differing = _differing if config.DISABLE_JIT else intrinsic(_emit_differing)
"""differing(real, z, wide, shown, di, index, first, many): how many were listed; `lanes(wide)` at a time."""
