"""A compiled continuous network: flat arrays as `nets.kernels.continuous_layout` has them, and how a run begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.continuous.neuron import Flow
from nets.dialect import Dialect
from nets.graph import Graph
from nets.kernels import continuous_layout as L
from nets.lower import Layout
from nets.units import Wiring


@dataclass(frozen=True, eq=False)
class State:
    """The arrays a run changes; the first `hashed_*` of them are the network's state, the rest follows from it."""

    real: NDArray[np.float64]
    dyn: NDArray[np.int64]
    di: NDArray[np.int32]
    marks: NDArray[np.uint8]

    def copy(self) -> State:
        return State(self.real.copy(), self.dyn.copy(), self.di.copy(), self.marks.copy())


@dataclass(frozen=True, eq=False)
class Unit:
    name: str
    shape: tuple[int, ...]
    layout: Layout
    flow: Flow
    row: int
    report: int


@dataclass(frozen=True, eq=False)
class Program:
    """One network, compiled: constant arrays, the initial state and the sizes that go with them."""

    graph: Graph
    dialect: Dialect
    dtype: Any
    table: NDArray[np.int64]
    ints: NDArray[np.int32]
    weights: NDArray[Any]
    coef: NDArray[np.float64]
    initial: State
    hashed_real: int
    hashed_dyn: int
    units: tuple[Unit, ...]
    wiring: Wiring
    dense_synops: int
    fan_out: tuple[int, ...]
    """The most synaptic operations one event of each port can cause at once."""
    port_synops: tuple[int, ...]
    fingerprint: bytes


def row_of(program: Program, unit: Unit) -> NDArray[np.int64]:
    """The unit's row of the table."""
    at = int(program.table[L.H_POP_AT]) + unit.row * L.P_SIZE
    return program.table[at : at + L.P_SIZE]


def begin(program: Program, state: State, t: int) -> None:
    """Make a copy of the initial state begin at `t`."""
    table, dyn = program.table, state.dyn
    dyn[int(table[L.H_NOW])] = dyn[int(table[L.H_T0])] = t
    dyn[int(table[L.H_LAST]) : int(table[L.H_LAST]) + int(table[L.H_SITES])] = t
    sampled = any(unit.flow.sampled for unit in program.units)
    dyn[int(table[L.H_SAMPLE])] = t + program.dialect.dt_ns - 1 if sampled else L.FAR
    wake(program, state)


def wake(program: Program, state: State) -> None:
    """Set what follows from the state proper: every site is looked at again before the next moment."""
    table, dyn = program.table, state.dyn
    sites = int(table[L.H_SITES])
    due, heap, place = (dyn[int(table[h]) : int(table[h]) + sites] for h in (L.H_DUE, L.H_HEAP, L.H_PLACE))
    due[:], place[:] = L.FAR, -1
    last = dyn[int(table[L.H_LAST]) : int(table[L.H_LAST]) + sites]
    exact = int(table[L.H_EXACT])
    state.marks[exact : exact + sites] = 0
    driven = np.flatnonzero(
        np.concatenate([np.full(len(u.layout.external) // u.layout.block, u.flow.driven) for u in program.units])
    )
    order = driven[np.argsort(last[driven], kind="stable")]  # a sorted list is a heap
    due[order] = last[order]
    heap[: len(order)] = order
    place[order] = np.arange(len(order))
    dyn[int(table[L.H_HEAP_N])] = len(order)
    for unit in program.units:
        dyn[row_of(program, unit)[L.P_AWAKE]] = unit.flow.sampled
