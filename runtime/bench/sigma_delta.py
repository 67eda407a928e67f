"""Sigma-delta networks beside dense passes of the same networks: natural video, and digits that slide.

Video: of every frame, the network of deploy/networks/video.nir is sent the pixels that round to another quantum than
before, and its picture is kept up to date from what it sends (all of which is timed); the rival makes a dense pass of
every frame in one thread. Both run whole clips in turns; a figure is
the least time of the rounds. Error: the root mean square of what the picture differs from the dense pass, over that of
the dense pass, all frames. Operations: graded, one for each weight that a change meets; adds, one for each weight and
quantum; dense, the multiplications of a pass without padding; non-zero, those of them behind a value that is not 0. The
first frame, which builds everything, counts nowhere. Levels were fitted on frames of other clips.

Frame rate: the same clip with seven mixtures between any two frames; the exponent e of operations a second ~ rate^e.

Digits: 0.25 pixels a frame; agreement is the share of frames with the dense network's answer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.work import dense_work
from nets.graph import Graph
from nets.kernels.build import part, warm
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta
from runtime.bench.ladder import Ladder, read_ladder
from runtime.bench.report import Report, Say, table
from runtime.bench.sliding import SHOWN, TRAINED, read_digits, slide
from runtime.bench.usage import cpu_s
from runtime.bench.video import faster, read_clip
from runtime.bench.video_dense import Rival, rival
from runtime.core.clock import stopwatch_ns
from runtime.core.errors import ConfigError

SUMMARY = "sigma-delta networks beside dense passes: natural video and sliding digits"
NETWORKS = Path("deploy") / "networks"
VIDEO, DIGITS = "video.nir", "digits_mlp.nir"
LEVELS = (8, 16, 32)
STATED = {"video": 16, "digits": 8}
"""The quanta that the targets are about."""
PERIOD_NS = 40_000_000
TIMES = 8
"""How many times the frame rate."""
SPEED, DIGITS_SEED = 0.25, 11
MOST_ERROR, MOST_EXPONENT, LEAST_AGREEMENT = 0.04, 0.45, 0.98
FEWER = {"carphone": 11.0, "bikes": 8.0, "digits": 9.0}
LEAST_FASTER = {"carphone": 1.3}
Frames = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A file, and how many of its first frames a network was trained on."""

    file: str
    learned: int
    rate_hz: float


CLIPS = {"carphone": Clip("carphone_pristine.mp4", 0, 29.97), "bikes": Clip("bikes.mp4", 120, 25.0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="short clips: a look, not a measurement")
    parser.add_argument(
        "--data", type=Path, default=None, metavar="FOLDER", help="holds video/*.mp4, mnist/mnist10k.npz ($TECTUM_DATA)"
    )
    parser.add_argument("--networks", type=Path, default=None, metavar="FOLDER", help=f"holds {VIDEO}, {DIGITS}")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    folder = args.data or Path(environment.get("TECTUM_DATA", ""))
    if not (folder / "video").is_dir() or folder == Path():
        raise ConfigError(
            "the clips are absent: state the folder that holds video/ and mnist/ by --data or TECTUM_DATA"
        )
    networks = args.networks or _packaged()
    warm(parts=[part("sigma-delta", np.float32)])
    video, digits = read_ladder(networks / VIDEO), read_ladder(networks / DIGITS)
    dense = rival(video.network)
    frames_most, rounds = (12, 2) if args.quick else (10_000, 7)
    say(f"dense passes by {dense.name}")
    rows: list[dict[str, Any]] = []
    rates: list[dict[str, Any]] = []
    for name, clip in CLIPS.items():
        frames = read_clip(folder / "video" / clip.file)[clip.learned :][:frames_most]
        for quanta in LEVELS:
            found = {"clip": name, "levels": quanta} | measure(video, quanta, frames, dense, rounds)
            say(f"{name}, {quanta} levels: {found['fewer']:.1f}x fewer operations, {found['faster']:.2f}x faster")
            rows.append(found)
        rates.append({"clip": name, "rate_hz": clip.rate_hz} | against_rate(video.rung(STATED["video"]), frames))
        say(f"{name}: operations a second as frame rate to the power {rates[-1]['exponent']:.2f}")
    slid = sliding(digits, read_digits(folder / "mnist" / "mnist10k.npz").images[TRAINED:], 10 if args.quick else 200)
    lines, missed = _targets(rows, rates, slid)
    text = "\n\n".join([_video_table(rows, dense), _layers(rows), _rate_table(rates), _digits_table(slid), lines])
    data = {"dense": dense.name, "video": rows, "frame_rate": rates, "digits": slid}
    return Report("sigma-delta", text, data, missed)


def _packaged() -> Path:
    root = Path(__file__).resolve().parents[1]
    return next((f for f in (root.parent / NETWORKS, root / NETWORKS) if (f / VIDEO).is_file()), NETWORKS)


class Shown:
    """A sigma-delta network that is shown samples one by one, and what its output holds."""

    def __init__(self, graph: Graph) -> None:
        self.engine = SigmaDeltaEngine(graph)
        (self._port, given), (_, out) = next(iter(self.engine.inputs.items())), next(iter(self.engine.outputs.items()))
        self._quanta = next(
            float(node.levels.item())
            for node in graph.nodes.values()
            if isinstance(node, SigmaDelta) and node.slope == 1
        )
        self._sent = np.zeros(math.prod(given.shape))
        self._t = np.zeros(len(self._sent), np.int64)
        self.output = np.zeros(math.prod(out.shape), np.float32)

    def begin(self, first: Frames) -> None:
        """Forget everything and settle on a first sample."""
        self.engine.reset(0)
        self._t[:] = 0
        self._sent[:] = np.nan
        self.show(first)

    def show(self, sample: Frames) -> None:
        """The next sample, flat: the numbers of it that round to another quantum than those sent before."""
        rounded = np.rint(np.multiply(sample, self._quanta, dtype=np.float64))
        index = np.flatnonzero(rounded != self._sent)
        self._sent = rounded
        until = int(self._t[0]) + PERIOD_NS
        self._t[:] = until
        sent = self.engine.step(self._port, self._t[: len(index)], index.astype(np.int32), sample[index], until)
        self.output[sent.index] = sent.value

    def through(self, samples: Frames) -> Iterator[Frames]:
        """What the output holds with each sample after the first."""
        self.begin(samples[0])
        for sample in samples[1:]:
            self.show(sample)
            yield self.output


def measure(ladder: Ladder, quanta: int, frames: Frames, dense: Rival, rounds: int) -> dict[str, Any]:
    """Operations and error of one pass, and the time of both contestants over rounds in turns."""
    network = ladder.network
    flat = frames.reshape(len(frames), -1)
    planes = frames.reshape(len(frames), *_given(network))
    true = np.stack([dense.run(plane) for plane in planes[1:]])
    shown = Shown(ladder.rung(quanta))
    wrong = 0.0
    for k, output in enumerate(shown.through(flat)):
        wrong += float(np.square(output - true[k], dtype=np.float64).sum())
    shown.begin(flat[0])
    before = shown.engine.counters
    for sample in flat[1:]:
        shown.show(sample)
    after = shown.engine.counters
    count = len(frames) - 1
    graded, adds, touches, passes = (
        (getattr(after, what) - getattr(before, what)) / count
        for what in ("synops", "synops_adds", "unit_touches", "synops_dense")
    )
    _, nonzero = dense_work(network, {network.of_kind(n.Input)[0]: planes})
    best = {"tectum": (math.inf, math.inf), "dense": (math.inf, math.inf)}
    for _ in range(rounds):
        for name in best:
            if name == "tectum":
                shown.begin(flat[0])
            wall, cpu = stopwatch_ns(), cpu_s()
            if name == "tectum":
                for sample in flat[1:]:
                    shown.show(sample)
            else:
                for plane in planes[1:]:
                    dense.run(plane)
            spent = ((stopwatch_ns() - wall) / 1e6 / count, (cpu_s() - cpu) * 1e3 / count)
            best[name] = (min(best[name][0], spent[0]), min(best[name][1], spent[1]))
    (wall_ms, cpu_ms), (dense_wall_ms, dense_cpu_ms) = best["tectum"], best["dense"]
    sent = {name: (after.spikes[name] - before.spikes[name]) / count for name in after.spikes}
    return {
        "frames": count,
        "error": math.sqrt(wrong / float(np.square(true, dtype=np.float64).sum())),
        "graded": graded,
        "adds": adds,
        "touches": touches,
        "dense": passes,
        "dense_nonzero": sum(nonzero.values()),
        "fewer": passes / graded if graded else math.inf,
        "fewer_adds": passes / adds if adds else math.inf,
        "changes": sent,
        "units": {p.name: p.size for p in shown.engine.populations},
        "rebuilt": after.rebuilt - before.rebuilt,
        "wall_ms": wall_ms,
        "cpu_ms": cpu_ms,
        "dense_wall_ms": dense_wall_ms,
        "dense_cpu_ms": dense_cpu_ms,
        "faster": dense_wall_ms / wall_ms,
        "faster_cpu": dense_cpu_ms / cpu_ms if cpu_ms else math.inf,
    }


def against_rate(graph: Graph, frames: Frames) -> dict[str, Any]:
    """Operations of one span at its frame rate and at `TIMES` that."""
    shown = Shown(graph)
    spent = []
    for clip in (frames, faster(frames, TIMES)):
        flat = clip.reshape(len(clip), -1)
        shown.begin(flat[0])
        before = shown.engine.counters.synops
        for sample in flat[1:]:
            shown.show(sample)
        spent.append(shown.engine.counters.synops - before)
    return {
        "frames": len(frames) - 1,
        "operations": spent[0],
        "operations_faster": spent[1],
        "exponent": math.log(spent[1] / spent[0]) / math.log(TIMES),
    }


def sliding(ladder: Ladder, digits: Frames, most: int) -> list[dict[str, Any]]:
    """Agreement and operations on digits never trained on, at several levels."""
    frames = slide(digits[:most], SPEED, DIGITS_SEED).reshape(-1, math.prod(_given(ladder.network)))
    dense = rival(ladder.network)
    true = np.array([int(dense.run(frame).argmax()) for frame in frames])
    found = []
    for quanta in (4, 8, 16):
        shown = Shown(ladder.rung(quanta))
        answers = [int(output.argmax()) for output in shown.through(frames)]
        shown.begin(frames[0])
        before = shown.engine.counters
        for frame in frames[1:]:
            shown.show(frame)
        after = shown.engine.counters
        passes = after.synops_dense - before.synops_dense
        found.append(
            {
                "levels": quanta,
                "digits": len(frames) // SHOWN,
                "frames": len(frames),
                "agreement": float(np.mean(np.array(answers) == true[1:])),
                "fewer": passes / (after.synops - before.synops),
                "fewer_adds": passes / (after.synops_adds - before.synops_adds),
            }
        )
    return found


def _given(graph: Graph) -> tuple[int, ...]:
    return graph.shapes[graph.of_kind(n.Input)[0]]


def _targets(
    rows: list[dict[str, Any]], rates: list[dict[str, Any]], slid: list[dict[str, Any]]
) -> tuple[str, tuple[str, ...]]:
    checks: list[tuple[str, float, str, float]] = []
    for row in rows:
        if row["levels"] == STATED["video"]:
            what = f"{row['clip']}, {row['levels']} levels"
            checks.append((f"{what}: error", row["error"], "at most", MOST_ERROR))
            checks.append((f"{what}: times fewer operations", row["fewer"], "at least", FEWER[row["clip"]]))
            if row["clip"] in LEAST_FASTER:
                checks.append((f"{what}: times faster", row["faster"], "at least", LEAST_FASTER[row["clip"]]))
    checks += [(f"{r['clip']}: exponent of the frame rate", r["exponent"], "at most", MOST_EXPONENT) for r in rates]
    for row in slid:
        if row["levels"] == STATED["digits"]:
            what = f"digits, {row['levels']} levels"
            checks.append((f"{what}: agreement", row["agreement"], "at least", LEAST_AGREEMENT))
            checks.append((f"{what}: times fewer operations", row["fewer"], "at least", FEWER["digits"]))
    lines, missed = [], []
    for what, figure, side, bound in checks:
        met = figure <= bound if side == "at most" else figure >= bound
        line = f"{what}: {figure:.3g} ({side} {bound:g})"
        lines.append(f"{line}: {'met' if met else 'MISSED'}")
        if not met:
            missed.append(line)
    return "\n".join(lines), tuple(missed)


def _video_table(rows: list[dict[str, Any]], dense: Rival) -> str:
    head = ("clip", "levels", "error %", "graded M", "adds M", "dense M", "non-zero M", "fewer", "fewer adds")
    counts = [
        (
            row["clip"],
            str(row["levels"]),
            f"{100 * row['error']:.2f}",
            *(f"{row[what] / 1e6:.2f}" for what in ("graded", "adds", "dense", "dense_nonzero")),
            f"{row['fewer']:.1f}",
            f"{row['fewer_adds']:.1f}",
        )
        for row in rows
    ]
    clocks = [
        (
            row["clip"],
            str(row["levels"]),
            *(f"{row[what]:.3f}" for what in ("wall_ms", "dense_wall_ms", "cpu_ms", "dense_cpu_ms")),
            f"{row['faster']:.2f}",
            f"{row['graded'] / row['wall_ms'] / 1e6:.1f}",
            f"{row['dense'] / row['dense_wall_ms'] / 1e6:.1f}",
        )
        for row in rows
    ]
    watch = ("clip", "levels", "wall ms", "dense wall", "CPU ms", "dense CPU", "faster", "G ops/s", "dense G/s")
    return f"Operations a frame\n{table(head, counts)}\n\nTime a frame; dense: {dense.name}\n{table(watch, clocks)}"


def _layers(rows: list[dict[str, Any]]) -> str:
    chosen = [row for row in rows if row["levels"] == STATED["video"]]
    head = ("layer", "units", *(f"{row['clip']} %" for row in chosen))
    lines = [
        (name, str(size), *(f"{100 * row['changes'][name] / size:.1f}" for row in chosen))
        for name, size in chosen[0]["units"].items()
    ]
    return f"Units that change in a frame, {STATED['video']} levels\n{table(head, lines)}"


def _rate_table(rates: list[dict[str, Any]]) -> str:
    head = ("clip", "rate Hz", "M ops/s", f"M ops/s at {TIMES}x", "exponent")
    lines = []
    for row in rates:
        seconds = row["frames"] / row["rate_hz"]
        spent = (f"{row[what] / seconds / 1e6:.0f}" for what in ("operations", "operations_faster"))
        lines.append((row["clip"], f"{row['rate_hz']:g}", *spent, f"{row['exponent']:.2f}"))
    return f"Frame rate, {STATED['video']} levels\n{table(head, lines)}"


def _digits_table(slid: list[dict[str, Any]]) -> str:
    head = ("levels", "frames", "agreement %", "fewer", "fewer adds")
    lines = [
        (
            str(row["levels"]),
            str(row["frames"]),
            f"{100 * row['agreement']:.2f}",
            f"{row['fewer']:.1f}",
            f"{row['fewer_adds']:.1f}",
        )
        for row in slid
    ]
    return f"Digits, {SPEED:g} pixels a frame\n{table(head, lines)}"
