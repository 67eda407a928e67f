"""Decoders by name: from the output events of a port to decisions on the network's own time grid.

argmax      the most active unit in a window          label, and the value the map gives it
count       spikes in a window, weighted              value
rate        exponential firing rates, weighted        value
population  preferred values, weighted by the rates   value, and the label of the strongest unit
latest      newest value of graded units, weighted    value
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nets.code_options import call_with_options, suggest
from nets.decode_count import ArgmaxDecoder, CountDecoder
from nets.decode_latest import LatestDecoder
from nets.decode_rate import PopulationDecoder, RateDecoder
from nets.decoded import Decision, Decoder

__all__ = [
    "DECODERS",
    "ArgmaxDecoder",
    "CountDecoder",
    "Decision",
    "Decoder",
    "LatestDecoder",
    "PopulationDecoder",
    "RateDecoder",
    "make_decoder",
]


def make_decoder(kind: str, size: int, options: Mapping[str, Any], map: Sequence[float] | None = None) -> Decoder:
    """The decoder of that kind for a port of `size` units; `map` gives each label of an argmax its value."""
    if kind not in DECODERS:
        raise ValueError(f"unknown decoder {kind!r}{suggest(kind, DECODERS)}")
    what = f"decoder {kind!r}"
    if map is not None:
        if kind != "argmax":
            raise ValueError(f"{what}: a map turns labels into values, expected only with decoder 'argmax'")
        options = {**options, "map": map}
    try:
        return call_with_options(what, DECODERS[kind], options, size)
    except ValueError as error:
        if str(error).startswith(what):
            raise
        raise ValueError(f"{what}: {error}") from None


DECODERS: dict[str, Callable[..., Decoder]] = {
    "argmax": ArgmaxDecoder,
    "count": CountDecoder,
    "rate": RateDecoder,
    "population": PopulationDecoder,
    "latest": LatestDecoder,
}
