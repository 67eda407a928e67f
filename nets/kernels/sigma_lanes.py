"""Emits vector instructions over the arrays of an intrinsic: as many lanes as fill 512 bits with the sums' own type."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir

BYTES = 64
COMPRESSES = binding.llvm_version_info[0] >= 19
"""Whether LLVM can compress in registers, which is faster than while storing."""
WORD, LONG = ir.IntType(32), ir.IntType(64)


class Lanes:
    """Vectors of `lanes` numbers of `element`, a float32 or float64, or of as many int32."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any, number: Any) -> None:
        self._context, self._builder, self._signature, self._arguments = context, builder, signature, arguments
        self.lanes = BYTES * 8 // number.bitwidth
        self.element = context.get_data_type(number)
        self.ints, self.reals = ir.VectorType(WORD, self.lanes), ir.VectorType(self.element, self.lanes)
        self.mask = ir.IntType(self.lanes)
        self._intrinsic = f"v{self.lanes}f{number.bitwidth}"

    def pointer(self, array: int, place: Any) -> Any:
        made = self._context.make_array(self._signature.args[array])
        return self._builder.gep(made(self._context, self._builder, self._arguments[array]).data, [place])

    def load(self, array: int, place: Any) -> Any:
        element = self._context.get_data_type(self._signature.args[array].dtype)
        kind = ir.VectorType(element, self.lanes)
        at = self._builder.bitcast(self.pointer(array, place), kind.as_pointer())
        return self._builder.load(at, align=self._context.get_abi_sizeof(element))

    def store(self, array: int, place: Any, values: Any) -> None:
        element = values.type.element
        at = self._builder.bitcast(self.pointer(array, place), values.type.as_pointer())
        self._builder.store(values, at, align=self._context.get_abi_sizeof(element))

    def spread(self, number: Any) -> Any:
        kind = ir.VectorType(number.type, self.lanes)
        one = self._builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(WORD, 0))
        return self._builder.shuffle_vector(
            one, ir.Constant(kind, ir.Undefined), ir.Constant(self.ints, [0] * self.lanes)
        )

    def all(self, value: float) -> Any:
        return ir.Constant(self.reals, [value] * self.lanes)

    def none(self) -> Any:
        return ir.Constant(self.ints, [0] * self.lanes)

    def numbers(self, first: Any) -> Any:
        """first, first + 1, ..."""
        start = self.spread(self._builder.trunc(first, WORD))
        return self._builder.add(start, ir.Constant(self.ints, list(range(self.lanes))))

    def under(self, many: Any) -> Any:
        """The mask of the first `many` lanes; `many`, a long, is below 2**31."""
        lane = ir.Constant(self.ints, list(range(self.lanes)))
        return self._builder.icmp_signed("<", lane, self.spread(self._builder.trunc(many, WORD)))

    def size(self, values: Any) -> Any:
        return self._call(f"llvm.fabs.{self._intrinsic}", self.reals, values)

    def any(self, mask: Any) -> Any:
        return self._builder.icmp_unsigned("!=", self._builder.bitcast(mask, self.mask), ir.Constant(self.mask, 0))

    def count(self, mask: Any) -> Any:
        found = self._call(f"llvm.ctpop.i{self.lanes}", self.mask, self._builder.bitcast(mask, self.mask))
        return self._builder.zext(found, LONG)

    def pack(self, array: int, place: Any, values: Any, mask: Any) -> None:
        """Store the lanes of the mask one behind the other; behind them anything, up to a whole vector."""
        if not COMPRESSES:
            name = f"llvm.masked.compressstore.v{self.lanes}i32"
            self._call(name, ir.VoidType(), values, self.pointer(array, place), mask)
            return
        name = f"llvm.experimental.vector.compress.v{self.lanes}i32"
        self.store(array, place, self._call(name, self.ints, values, mask, ir.Constant(self.ints, ir.Undefined)))

    def _call(self, name: str, result: Any, *values: Any) -> Any:
        module = self._builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(result, [value.type for value in values]), name
        )
        return self._builder.call(function, values)
