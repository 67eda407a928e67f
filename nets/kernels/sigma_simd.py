"""Rounds neurons and lists those that hold something else than before, several at once, with vector instructions.

    requantise   v = levels y,  y = z where z > 0, else slope z;   where |v - q| >= limit and rint(v) is not q:
                 list (neuron, rint(v) - q) and set q to rint(v), half to even, at most MOST either way
    gather       where q is not 0: list (neuron, q)

Every lane does in float64 what a loop over single neurons would do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from nets.kernels.sigma_layout import MOST

LANES = 8
CHANGED, HELD, HAD, CUT = 0, 8, 16, 24
"""At which bit of what `requantise` returns its counts stand: changes, non-zero after, before, and cut off at MOST."""
WHOLE = 6755399441055744.0
"""1.5 * 2**52: adding and taking it away rounds a small float64 to whole numbers, half to even."""
BYTE = ir.IntType(8)
WORD, LONG = ir.IntType(32), ir.IntType(64)
INTS, REALS = ir.VectorType(WORD, LANES), ir.VectorType(ir.DoubleType(), LANES)
NONE = ir.Constant(INTS, [0] * LANES)


def _requantise(real: Any, z: Any, di: Any, q: Any, index: Any, change: Any, first: Any, rule: Any) -> int:
    """The same in Python, for runs without the compiler."""
    levels, slope, limit = rule
    over = changed = held = had = cut = 0
    for j in range(LANES):
        x, old = float(real[int(z) + j]), int(di[int(q) + j])
        v = levels * (x if x > 0.0 else x * slope)
        new = old
        if abs(v - old) >= limit:
            over += 1
            new = int((min(max(v, -MOST), MOST) + WHOLE) - WHOLE)
            cut += abs(v) > MOST
        if new != old:
            di[int(index) + changed], di[int(change) + changed] = int(first) + j, new - old
            di[int(q) + j] = new
            changed += 1
        held, had = held + (new != 0), had + (old != 0)
    return changed << CHANGED | held << HELD | had << HAD | cut << CUT if over else 0


def _emit_requantise(
    typing: Any, real: Any, z: Any, di: Any, q: Any, index: Any, change: Any, first: Any, rule: Any
) -> Any:
    """Arrays `real` and `di`; unsigned offsets into them; `first`, the neuron of lane 0; `rule` of three float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _Lanes(context, builder, signature, arguments)
        levels, slope, limit = (lanes.spread(builder.extract_value(arguments[7], k)) for k in range(3))
        element = context.get_data_type(signature.args[0].dtype)
        x = lanes.load(0, arguments[1], element)
        if signature.args[0].dtype != types.float64:
            x = builder.fpext(x, REALS)
        old = lanes.load(2, arguments[3], WORD)
        positive = builder.fcmp_ordered(">", x, _all(0.0))
        v = builder.fmul(levels, builder.select(positive, x, builder.fmul(x, slope)))
        over = builder.fcmp_ordered(">=", lanes.size(builder.fsub(v, builder.sitofp(old, REALS))), limit)
        result = cgutils.alloca_once(builder, LONG)
        builder.store(ir.Constant(LONG, 0), result)
        with builder.if_then(builder.icmp_unsigned("!=", builder.bitcast(over, BYTE), ir.Constant(BYTE, 0))):
            low = builder.select(builder.fcmp_ordered(">", v, _all(-MOST)), v, _all(-MOST))
            near = builder.select(builder.fcmp_ordered("<", low, _all(MOST)), low, _all(MOST))
            whole = builder.fsub(builder.fadd(near, _all(WHOLE)), _all(WHOLE))
            new = builder.select(over, builder.fptosi(whole, INTS), old)
            moved = builder.icmp_signed("!=", new, old)
            lanes.store(2, arguments[3], new)
            lanes.pack(2, arguments[4], lanes.numbers(arguments[6]), moved)
            lanes.pack(2, arguments[5], builder.sub(new, old), moved)
            far = builder.and_(over, builder.fcmp_ordered(">", lanes.size(v), _all(MOST)))
            counts = (
                (moved, CHANGED),
                (builder.icmp_signed("!=", new, NONE), HELD),
                (builder.icmp_signed("!=", old, NONE), HAD),
                (far, CUT),
            )
            total = ir.Constant(LONG, 0)
            for mask, place in counts:
                total = builder.or_(total, builder.shl(lanes.count(mask), ir.Constant(LONG, place)))
            builder.store(total, result)
        return builder.load(result)

    return types.int64(real, z, di, q, index, change, first, rule), generate


def _gather(di: Any, q: Any, index: Any, change: Any, first: Any) -> int:
    """The same in Python, for runs without the compiler."""
    found = 0
    for j in range(LANES):
        if di[int(q) + j] != 0:
            di[int(index) + found], di[int(change) + found] = int(first) + j, di[int(q) + j]
            found += 1
    return found


def _emit_gather(typing: Any, di: Any, q: Any, index: Any, change: Any, first: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _Lanes(context, builder, signature, arguments)
        held = lanes.load(0, arguments[1], WORD)
        mask = builder.icmp_signed("!=", held, NONE)
        lanes.pack(0, arguments[2], lanes.numbers(arguments[4]), mask)
        lanes.pack(0, arguments[3], held, mask)
        return lanes.count(mask)

    return types.int64(di, q, index, change, first), generate


class _Lanes:
    """Emits what both have in common."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self._context, self._builder, self._signature, self._arguments = context, builder, signature, arguments

    def pointer(self, array: int, place: Any) -> Any:
        made = self._context.make_array(self._signature.args[array])
        return self._builder.gep(made(self._context, self._builder, self._arguments[array]).data, [place])

    def load(self, array: int, place: Any, element: Any) -> Any:
        kind = ir.VectorType(element, LANES)
        at = self._builder.bitcast(self.pointer(array, place), kind.as_pointer())
        return self._builder.load(at, align=self._context.get_abi_sizeof(element))

    def store(self, array: int, place: Any, values: Any) -> None:
        at = self._builder.bitcast(self.pointer(array, place), INTS.as_pointer())
        self._builder.store(values, at, align=4)

    def spread(self, number: Any) -> Any:
        kind = ir.VectorType(number.type, LANES)
        one = self._builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(WORD, 0))
        return self._builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), NONE)

    def numbers(self, first: Any) -> Any:
        """first, first + 1, ..."""
        start = self.spread(self._builder.trunc(first, WORD))
        return self._builder.add(start, ir.Constant(INTS, list(range(LANES))))

    def size(self, values: Any) -> Any:
        return self._call(f"llvm.fabs.v{LANES}f64", REALS, values)

    def count(self, mask: Any) -> Any:
        return self._builder.zext(self._call("llvm.ctpop.i8", BYTE, self._builder.bitcast(mask, BYTE)), LONG)

    def pack(self, array: int, place: Any, values: Any, mask: Any) -> None:
        """Store the lanes of the mask one behind the other."""
        at = self.pointer(array, place)
        self._call(f"llvm.masked.compressstore.v{LANES}i32", ir.VoidType(), values, at, mask)

    def _call(self, name: str, result: Any, *values: Any) -> Any:
        module = self._builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(result, [value.type for value in values]), name
        )
        return self._builder.call(function, values)


def _all(value: float) -> Any:
    return ir.Constant(REALS, [value] * LANES)


requantise = _requantise if config.DISABLE_JIT else intrinsic(_emit_requantise)
"""requantise(real, z, di, q, index, change, first, (levels, slope, limit)): counts, see above."""

gather = _gather if config.DISABLE_JIT else intrinsic(_emit_gather)
"""gather(di, q, index, change, first): how many were listed."""
