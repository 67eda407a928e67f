"""What a comparison found: who took how long with how many spikes, held against targets, and as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

SIMULATORS = {
    "tectum": "tectum",
    "tectum_merged": "tectum, merged events",
    "brian2": "Brian2 C++ (batch)",
    "genn": "GeNN, CPU",
    "torch": "PyTorch by hand",
    "norse": "Norse",
    "snntorch": "snnTorch",
    "sinabs": "Sinabs",
    "spikingjelly": "SpikingJelly",
}
MERGED = ("tectum_merged", "brian2", "genn")
"""Run on merged events, and compared with tectum on them."""
TARGETS: Mapping[tuple[str, str], tuple[float, float, float]] = {
    ("brian2", "W1"): (6.0, 8.0, 8.0),
    ("genn", "W1"): (3.0, 3.0, 3.0),
    ("genn", "W2"): (2.0, 2.0, 2.0),
    ("torch", "W1"): (30.0, 20.0, 4.0),
    ("torch", "W2"): (30.0, 15.0, 3.0),
}
"""Times the throughput, by rate, lowest first."""
AGREEMENT = 0.01
FEW = 1000
"""Below it, shares are of this many: in a layer that hardly spikes, one spike more or less says nothing."""


@dataclass(frozen=True)
class Found:
    name: str
    workload: str
    rate_hz: int
    us: float
    """Least processor time of a tick, in µs."""
    spikes: Sequence[int]
    """Of each layer."""


def baseline(found: Iterable[Found], row: Found) -> Found:
    """tectum on the same events."""
    ours = "tectum_merged" if row.name in MERGED else "tectum"
    return next(f for f in found if (f.name, f.workload, f.rate_hz) == (ours, row.workload, row.rate_hz))


def times(found: Iterable[Found], row: Found) -> float:
    """How many times tectum's throughput is this one's."""
    return row.us / baseline(found, row).us


def misses(found: Sequence[Found]) -> Iterator[str]:
    """The targets that were not met."""
    rates = sorted({row.rate_hz for row in found})
    for row in found:
        bounds = TARGETS.get((row.name, row.workload))
        if bounds is not None:
            bound, figure = bounds[rates.index(row.rate_hz)], times(found, row)
            if figure < bound:
                yield f"{where(row)}: {figure:.2f} times {SIMULATORS[row.name]}, at least {bound:g}"


def targeted(name: str) -> bool:
    """Whether this simulator is to be beaten by a stated factor."""
    return any(name == simulator for simulator, _ in TARGETS)


def difference(found: Sequence[Found], row: Found) -> float:
    """The largest share by which a layer's spikes differ from tectum's."""
    ours = baseline(found, row).spikes
    if len(ours) != len(row.spikes):
        return float("inf")
    return max(abs(a - b) / max(b, FEW) for a, b in zip(row.spikes, ours, strict=True))


def differing(found: Sequence[Found]) -> Iterator[str]:
    for row in found:
        if difference(found, row) > AGREEMENT:
            ours = list(baseline(found, row).spikes)
            yield f"{where(row)}: {SIMULATORS[row.name]} spikes {list(row.spikes)}, tectum {ours}"


def where(row: Found) -> str:
    return f"{row.workload} at {row.rate_hz // 1000} k events/s"


def page(
    found: Sequence[Found],
    machine: Mapping[str, str],
    versions: Mapping[str, Mapping[str, str]],
    absent: Sequence[str],
    missed: Sequence[str],
) -> str:
    """The measured part of the page, in Markdown."""
    lines = [f"{key}: {value}  " for key, value in machine.items() if key != "libraries"]
    for name, libraries in versions.items():
        shown = ", ".join(f"{library} {number}" for library, number in libraries.items())
        lines.append(f"{SIMULATORS[name]}: {shown}  ")
    lines += [f"not installed: {', '.join(SIMULATORS[name] for name in absent)}  "] if absent else []
    rates = sorted({row.rate_hz for row in found})
    for workload in sorted({row.workload for row in found}):
        head = [f"{rate // 1000} k/s" for rate in rates]
        lines += ["", f"**{workload}**", ""]
        lines += [f"| | {' | '.join(head)} | largest difference in spikes |", "|---|" + "---:|" * (len(rates) + 1)]
        for name in dict.fromkeys(row.name for row in found):
            mine = [next(f for f in found if (f.name, f.workload, f.rate_hz) == (name, workload, r)) for r in rates]
            ours = name.startswith("tectum")
            cells = [f"{row.us:.1f} µs" + ("" if ours else f", {times(found, row):.1f} times") for row in mine]
            same = "" if ours else f"{100 * max(difference(found, row) for row in mine):.2f} %"
            lines.append(f"| {SIMULATORS[name]} | {' | '.join(cells)} | {same} |")
    lines += ["", *(f"- Missed: {line}" for line in missed)] if missed else ["", "All targets met."]
    return "\n".join(lines) + "\n"
