# mypy: disable-error-code="import-not-found"
"""Brian2's generated C++ program: built once, run as a batch over all events, its main loop timed by itself.

Spikes travel one tick a layer there, so it runs a tick longer for each layer; the time is that of the cell's share.
Resets come before synapses and weights carry 1 / alpha, so that a potential sees leak, input and threshold in the same
order as here.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import brian2
import numpy as np

from tests.comparison.speed.arrays import load
from tests.comparison.speed.cell import Cell, Contestant

LIBRARIES = ("brian2", "numpy")
TICK = brian2.ms
SCHEDULE = ["start", "groups", "thresholds", "resets", "synapses", "end"]
BEGIN = "const clock_t loop_began = clock();"
END = """{
    const double loop_s = double(clock() - loop_began) / CLOCKS_PER_SEC;
    std::ofstream file(brian::results_dir + "loop_s");
    file << loop_s;
}"""


class Program:
    def __init__(self, cell: Cell) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="brian2-")
        folder = self._folder.name
        brian2.prefs.core.default_float_dtype = np.float32
        brian2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        device = brian2.device
        device.reinit()
        device.activate(directory=folder, build_on_run=False)
        brian2.defaultclock.dt = TICK
        given = load(Path(cell.arrays))
        source: Any = brian2.SpikeGeneratorGroup(given.size, given.index, given.tick * TICK)
        parts, self._monitors = [source], []
        for layer in given.layers:
            leaks = given.alpha < 1
            group = brian2.NeuronGroup(
                layer.size,
                "dv/dt = -v / tau : 1" if leaks else "v : 1",
                threshold="v > 1",
                reset="v = 0",
                method="exact" if leaks else None,
                namespace={"tau": -TICK / np.log(given.alpha)} if leaks else {},
            )
            synapses = brian2.Synapses(source, group, "w : 1", on_pre="v_post += w")
            if len(layer.weight) == len(source) * layer.size:
                synapses.connect(True)
            else:
                synapses.connect(i=layer.pre, j=layer.post)
            synapses.w = layer.weight / given.alpha
            monitor = brian2.SpikeMonitor(group, record=False)
            self._monitors.append(monitor)
            parts += [group, synapses, monitor]
            source = group
        network = brian2.Network(*parts)
        network.schedule = SCHEDULE
        device.insert_code("before_network_run", BEGIN)
        device.insert_code("after_network_run", END)
        whole = given.ticks + len(given.layers)
        self._share = given.ticks / whole
        network.run(whole * TICK)
        device.build(directory=folder, compile=True, run=False, debug=False)
        self._device = device

    def spikes(self) -> list[int]:
        self._device.run(self._folder.name, "results", with_output=False, run_args=[])
        return [int(monitor.num_spikes) for monitor in self._monitors]

    def measure(self) -> float:
        subprocess.run(["./main"], cwd=self._folder.name, check=True, stdout=subprocess.DEVNULL)
        (found,) = Path(self._folder.name).glob("**/*loop_s")
        return float(found.read_text()) * self._share


def contestant(cell: Cell) -> Contestant:
    return Program(cell)
