"""`tectum convert`: a trained ReLU network becomes a sigma-delta or rate-coded network."""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.commands.common import Progress
from runtime.core.errors import ConfigError

if TYPE_CHECKING:
    from nets.convert.dense import Batch
    from nets.convert.work import Layer, Work
    from nets.graph import Graph

DESCRIPTION = """\
Convert a trained feed-forward ReLU network (.onnx, or .nir with activations in its metadata) and say how near it comes
and what it costs on samples of what it will see: a video, or arrays that numpy stored (.npy, .npz).

  tectum convert model.onnx --samples clip.mp4 --error 0.04 -o model.nir
  tectum convert model.onnx --samples frames.npy --levels 16 -o model.nir --strict
  tectum convert model.onnx --samples images.npz --to rate --ticks 16 -o model.nir

The error is the root mean square of the output's difference from the trained network over that of its output. A layer
that changes so much that a dense pass would take less time is warned of, or refused with --strict. docs/convert.md says
what converts. Reading ONNX needs the library onnx, decoding video needs av: the extra `convert` has both.
"""
DEFAULT_ERROR = 0.04


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("model", type=Path, help=".onnx or .nir")
    parser.add_argument("--samples", type=Path, required=True, help="video, .npy or .npz, in the order it was recorded")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NET.nir")
    parser.add_argument("--to", choices=["sigma-delta", "rate"], default="sigma-delta")
    parser.add_argument("--error", type=float, help=f"the output error to meet (default: {DEFAULT_ERROR})")
    parser.add_argument("--levels", type=int, metavar="N", help="quanta over each layer's scale, instead of a search")
    parser.add_argument(
        "--balance", action="store_true", help="divide the levels so that the error costs less (slower)"
    )
    parser.add_argument(
        "--noise", action="append", default=[], metavar="[INPUT=]SIGMA",
        help="noise of a sensor, in the input's unit: its quantum is then at least six of them",
    )  # fmt: skip
    parser.add_argument("--ticks", type=int, default=16, help="rate: how long a frame is shown (default: 16)")
    parser.add_argument("--dt-s", type=float, default=1e-3, help="rate: length of a tick (default: 0.001)")
    parser.add_argument("--frames", type=int, default=1000, help="use at most so many samples (default: 1000)")
    parser.add_argument("--strict", action="store_true", help="refuse where a dense pass would be cheaper")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace, environment: dict[str, str]) -> int:
    from nets.convert.samples import read_samples

    if args.output.suffix != ".nir":
        raise ConfigError(f"the output is {str(args.output)!r}, expected a name that ends in .nir")
    network = _network(args.model)
    samples = read_samples(args.samples, network, args.frames, Progress("Reading"))
    convert = _to_rate if args.to == "rate" else _to_sigma_delta
    graph, report, text = convert(args, network, samples)
    told = _write(args.output, graph)
    if args.json:
        print(json.dumps(report | {"notes": told}, indent=2))
    else:
        print("\n".join([*text, *(f"note: {line}" for line in told), f"written to {args.output}"]))
    return 0


def _network(path: Path) -> Graph:
    if path.suffix == ".onnx":
        from nets.convert.onnx_file import read_onnx

        return read_onnx(path)
    if path.suffix == ".nir":
        from nets.convert.layers import relu_network
        from nets.nir import read

        return relu_network(read(path))
    raise ConfigError(f"the model is {str(path)!r}, expected a name that ends in .onnx or .nir")


def _to_sigma_delta(
    args: argparse.Namespace, network: Graph, samples: dict[str, Batch]
) -> tuple[Graph, dict[str, Any], list[str]]:
    from nets.convert.balance import fit_balanced
    from nets.convert.errors import ConvertError
    from nets.convert.levels import fit, fit_quanta
    from nets.convert.work import BREAK_EVEN, count

    if args.balance and args.levels is not None:
        raise ConfigError("--balance divides levels that --error finds; --levels states them")
    noise, progress = _noise(args.noise, network), Progress("Fitting levels")
    if args.levels is None:
        search = fit_balanced if args.balance else fit
        error = DEFAULT_ERROR if args.error is None else args.error
        found = search(network, samples, error, noise=noise, progress=progress)
    else:
        found = fit_quanta(network, samples, args.levels, noise=noise, progress=progress)
        if args.error is not None and found.error > args.error:
            raise ConvertError(f"{args.levels} levels reach an error of {found.error:.3g}, expected {args.error:g}")
    work = count(found, samples, progress=Progress("Counting operations"))
    dearer = [
        f"{layer.target}: {layer.graded:,.0f} operations a sample, {layer.share:.0%} of a dense pass; above "
        f"{BREAK_EVEN[layer.kind]:.0%} a dense {layer.kind} takes less time"
        for layer in work.dearer
    ]
    if dearer and args.strict:
        raise ConvertError(f"a dense pass would be cheaper: {'; '.join(dearer)}")
    report = {
        "model": args.model.name,
        "to": "sigma-delta",
        "samples": work.samples,
        "error": found.error,
        "quanta": found.quanta,
        "layers": [asdict(layer) | {"share": layer.share} for layer in work.layers],
        "total": {what: work.total(what) for what in COLUMNS},
        "warnings": dearer,
    }
    text = [
        f"{args.model.name}: sigma-delta with {found.quanta} levels over each layer's scale",
        f"error {found.error:.3g} over {work.samples} samples of {args.samples.name}",
        "",
        *_table(work),
        "",
        _saved(work),
        *(f"warning: {line}" for line in dearer),
    ]
    return found.graph, report, text


COLUMNS = ("graded", "adds", "touches", "dense", "dense_nonzero")


def _table(work: Work) -> list[str]:
    wide = max(len(layer.target) for layer in work.layers) + 2
    heads = ("graded", "adds", "touches", "dense", "non-zero", "share")
    lines = [f"{'per sample':<{wide}}{'levels':>9}" + "".join(f"{head:>13}" for head in heads)]
    lines += [_row(layer, wide) for layer in work.layers]
    sums = "".join(f"{work.total(what):>13,.0f}" for what in COLUMNS)
    dense = work.total("dense")
    return [*lines, f"{'all':<{wide}}{'':>9}{sums}{work.total('graded') / dense if dense else 0:>13.1%}"]


def _row(layer: Layer, wide: int) -> str:
    levels = "" if layer.levels is None else f"{layer.levels:.4g}"
    numbers = "".join(f"{getattr(layer, what):>13,.0f}" for what in COLUMNS)
    return f"{layer.target:<{wide}}{levels:>9}{numbers}{layer.share:>13.1%}"


def _saved(work: Work) -> str:
    graded = work.total("graded")
    if not graded:
        return "the samples do not change: 0 operations"
    return (
        f"{work.total('dense') / graded:.1f}x fewer operations than dense passes, "
        f"{work.total('dense_nonzero') / graded:.1f}x fewer than with zeros skipped"
    )


def _to_rate(
    args: argparse.Namespace, network: Graph, samples: dict[str, Batch]
) -> tuple[Graph, dict[str, Any], list[str]]:
    from nets.convert.errors import ConvertError
    from nets.convert.rate import to_rate
    from nets.convert.work import dense_work

    if args.levels is not None or args.noise or args.balance:
        raise ConfigError("--levels, --balance and --noise are of sigma-delta networks; a rate-coded one takes --ticks")
    found = to_rate(network, samples, args.ticks, dt_s=args.dt_s, progress=Progress("Presenting samples"))
    if args.error is not None and found.error > args.error:
        raise ConvertError(f"{args.ticks} ticks reach an error of {found.error:.3g}, expected {args.error:g}")
    dense, nonzero = dense_work(network, samples)
    synops, passes = sum(found.synops.values()), float(sum(dense.values()))
    dearer = []
    if synops > passes:
        dearer.append(f"{synops:,.0f} operations a sample, {synops / passes:.1f} dense passes: fewer ticks cost less")
    if dearer and args.strict:
        raise ConvertError(f"a dense pass would be cheaper: {dearer[0]}")
    report = {
        "model": args.model.name,
        "to": "rate",
        "samples": len(next(iter(samples.values()))),
        "error": found.error,
        "ticks": found.ticks,
        "scales": dict(found.scales),
        "synops": dict(found.synops),
        "dense": passes,
        "dense_nonzero": sum(nonzero.values()),
        "warnings": dearer,
    }
    text = [
        f"{args.model.name}: rate-coded, {found.ticks} ticks of {args.dt_s:g} s a sample",
        f"error {found.error:.3g} over {report['samples']} samples of {args.samples.name}",
        "",
        f"{'per sample, behind':<24}{'operations':>14}",
        *(f"{name:<24}{value:>14,.0f}" for name, value in found.synops.items()),
        f"{'all':<24}{synops:>14,.0f}   a dense pass: {passes:,.0f}, zeros skipped: {report['dense_nonzero']:,.0f}",
        *(f"warning: {line}" for line in dearer),
    ]
    return found.graph, report, text


def _noise(given: list[str], network: Graph) -> dict[str, float]:
    from nets import nodes as n

    inputs = network.of_kind(n.Input)
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            sigma = float(number)
        except ValueError:
            sigma = 0.0
        if not 0 < sigma < float("inf") or (name and name not in inputs) or (not name and len(inputs) != 1):
            raise ConfigError(
                f"--noise {text}: expected INPUT=SIGMA above 0 with one of the inputs {', '.join(inputs)}"
            )
        found[name or inputs[0]] = sigma
    return found


def _write(path: Path, graph: Graph) -> list[str]:
    from nets.convert.errors import ConvertError
    from nets.models import ExportWarning
    from nets.nir import read, write

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ExportWarning)
        write(path, graph)
    if read(path) != graph:
        raise ConvertError(f"{path}: what was written does not read back equal")
    return [str(warning.message) for warning in caught]
