# mypy: disable-error-code="import-not-found"
"""GeNN's single-threaded CPU back end: a generated program, stepped tick by tick, its events loaded beforehand.

Spikes travel one tick a layer there, so it runs a tick longer for each layer; the time is that of the cell's share.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pygenn

from runtime.bench.usage import cpu_s
from tests.comparison.speed.arrays import load
from tests.comparison.speed.cell import Cell, Contestant

LIBRARIES = ("pygenn", "numpy")
COMPILERS = ("g++", "g++ -march=native")
"""The Makefile it writes sets the flags, none of them for this processor; the faster of the two is taken."""


class Program:
    def __init__(self, cell: Cell, compiler: str) -> None:
        os.environ["CXX"] = compiler
        given = load(Path(cell.arrays))
        self._folder = tempfile.TemporaryDirectory(prefix="genn-")
        self._model = model = pygenn.GeNNModel("float", "cell", backend="single_threaded_cpu", optimize_code=True)
        model.dt = 1.0
        self._ticks = given.ticks
        self._whole = given.ticks + len(given.layers)
        neuron = pygenn.create_neuron_model(
            "neuron",
            params=["alpha"],
            vars=[("V", "scalar"), ("spikes", "unsigned int")],
            sim_code="V = alpha * V + Isyn;",
            threshold_condition_code="V > 1",
            reset_code="V = 0; spikes++;",
            auto_refractory_required=False,
        )
        order = np.lexsort((given.tick, given.index))
        ends = np.searchsorted(given.index[order], np.arange(given.size), "right")
        starts = np.concatenate([[0], ends[:-1]])
        source = model.add_neuron_population(
            "input", given.size, "SpikeSourceArray", {}, {"startSpike": starts, "endSpike": ends}
        )
        source.extra_global_params["spikeTimes"].set_init_values(given.tick[order].astype(np.float32))
        self._populations = []
        for k, layer in enumerate(given.layers):
            size = source.num_neurons
            population = model.add_neuron_population(
                f"layer{k}", layer.size, neuron, {"alpha": given.alpha}, {"V": 0.0, "spikes": 0}
            )
            dense = len(layer.weight) == size * layer.size
            synapses = model.add_synapse_population(
                f"synapses{k}",
                "DENSE" if dense else "SPARSE",
                source,
                population,
                pygenn.init_weight_update("StaticPulse", {}, {"g": layer.weight}),
                pygenn.init_postsynaptic("DeltaCurr"),
            )
            if not dense:
                synapses.set_sparse_connections(layer.pre, layer.post)
            self._populations.append(population)
            source = population
        model.build(self._folder.name)
        model.load()

    def spikes(self) -> list[int]:
        self.measure()
        found = []
        for population in self._populations:
            population.vars["spikes"].pull_from_device()
            found.append(int(population.vars["spikes"].values.sum()))
        return found

    def measure(self) -> float:
        model = self._model
        model.unload()
        model.load()
        before = cpu_s()
        for _ in range(self._whole):
            model.step_time()
        return (cpu_s() - before) * self._ticks / self._whole


def contestant(cell: Cell) -> Contestant:
    programs = [Program(cell, compiler) for compiler in COMPILERS]
    return min(programs, key=lambda program: min(program.measure() for _ in range(3)))
