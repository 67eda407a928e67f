"""Reduces what passes through the control process to what a page can show, and only while somebody watches.

Events are kept as the time of each pixel's newest event, one plane a polarity; a picture shows `exp(-age / TAU)`.
Rasters, activity, traces and angles carry the last `OVERLAP` of their past in every frame, on absolute bins and times,
so that a frame lost on the way to a slow page leaves no hole. The rate falls below `MAX_HZ` where frames are so large
that they would exceed `MAX_BYTES_S`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import wire
from runtime.core.packet import Packet
from runtime.core.topic import SEGMENT, Topic

MAX_HZ = 30
MAX_BYTES_S = 2_000_000
OVERLAP = 320_000_000
BIN = 10_000_000
ROWS = 64
EVENT_SIZE = (260, 346)
FRAME_BYTES = 60_000
TAU = 50_000_000
TRUTH_WIDTH = 6
STREAMS = frozenset({"images", "rasters", "traces", "segments", "decisions", "actuators", "activity", "truth"})

_SHOWN = frozenset({"images", "traces", "segments", "truth"})
_SECOND = 1_000_000_000
_BINS = OVERLAP // BIN
_TRACE_STEP = 5_000_000
_TRACE_POINTS = OVERLAP // _TRACE_STEP
_MAX_TRACES = 16
_NEVER = -(2**62)
_REPEAT = 500_000_000  # an unchanged image is sent again this often, for the page that has just come

_UNIT_SHIFT = 18  # ages are counted in 2**18 ns, so that the planes are int32 and the exponential is a table
_LEVELS = np.concatenate(
    [np.ceil(15 * np.exp(-np.arange(4 * TAU >> _UNIT_SHIFT) * float(1 << _UNIT_SHIFT) / TAU)), [0]]
).astype(np.uint8)
_LONG_AGO = -(2**30)
_REBASE = (2**29) << _UNIT_SHIFT


class Live:
    """The reductions of one robot. Every method is cheap, and free while stopped."""

    def __init__(self, populations: Mapping[str, int] | None = None) -> None:
        """`populations`: how many neurons each has; one not named here grows with the indices seen."""
        self._populations = dict(populations or {})
        self._streams: frozenset[str] | None = None
        self._next: int = _NEVER
        self._number: int = 0
        self._clear()

    @property
    def running(self) -> bool:
        return self._streams is not None

    def start(self, streams: Iterable[str] = ()) -> None:
        """Somebody watches: these of STREAMS, or all of them. May be called again at any time."""
        chosen = frozenset(streams)
        self._streams = chosen & STREAMS if chosen else STREAMS

    def stop(self) -> None:
        """Nobody watches: forget everything."""
        if self._streams is not None:
            self._streams = None
            self._clear()

    def on_packet(self, packet: Packet) -> None:
        """A packet passed over the bus."""
        streams = self._streams
        if streams is None or not len(packet.t):
            return
        name = packet.topic.name
        show = self._shows.get(name)
        if show is None:
            show = self._shows[name] = _show(packet.topic)
        if show.stream in streams:
            show.take(packet)
        if "activity" in streams:
            activity = self._activities.get(name)
            if activity is None:
                activity = self._activities[name] = _Activity()
            activity.take(packet.t)

    def on_spikes(
        self,
        t: int | NDArray[np.int64],
        population: str,
        index: NDArray[np.integer[Any]],
        count: int | NDArray[np.integer[Any]] = 1,
    ) -> None:
        """Neurons `index` (n,) of a population fired `count` times each; `t` is one time, or one a neuron (n,)."""
        if self._streams is None or "rasters" not in self._streams or not len(index):
            return
        raster = self._rasters.get(population)
        if raster is None:
            raster = self._rasters[population] = _Raster(self._populations.get(population, 0))
        raster.take(t, index, count)

    def on_decision(self, output: str, t: int, scores: Iterable[float], value: float | None) -> None:
        """An output decided: its scores, one a class, and the value it sent on (None: none)."""
        if self._streams is not None and "decisions" in self._streams:
            self._decisions[output] = (t, scores, value)

    def on_command(self, actuator: str, t: int, commanded: float, applied: float) -> None:
        """A command was sent, and `applied` is what its limiter let through."""
        if self._streams is not None and "actuators" in self._streams:
            self._angle(actuator).add(t, (commanded, applied))

    def on_state(
        self, actuator: str, t: int, position: float, velocity: float = 0.0, safe: bool = False, fault: int = 0
    ) -> None:
        """An actuator was read back."""
        if self._streams is not None and "actuators" in self._streams:
            self._angle(actuator + "\0state").add(t, (position, velocity, float(safe), float(fault)))

    def frame(self, now: int) -> bytes | None:
        """The next frame as MessagePack; None while nobody watches or the last one was too recent."""
        streams = self._streams
        if streams is None or now < self._next:
            return None
        body: dict[str, Any] = {"t": now / _SECOND, "n": self._number}
        if streams & _SHOWN:
            for name, show in self._shows.items():
                if show.stream in streams and (shown := show.reduce(now)) is not None:
                    body.setdefault(show.stream, {})[name] = shown
        if self._activities and "activity" in streams:
            body["activity"] = {name: activity.reduce(now) for name, activity in self._activities.items()}
        if self._rasters and "rasters" in streams:
            body["rasters"] = {name: raster.reduce(now) for name, raster in self._rasters.items()}
        if self._decisions and "decisions" in streams:
            body["decisions"] = {name: _decision(*decision) for name, decision in self._decisions.items()}
        if self._angles and "actuators" in streams:
            body["actuators"] = self._reduce_angles()
        payload = wire.encode(body)
        self._number += 1
        self._next = now + max(_SECOND // MAX_HZ, len(payload) * _SECOND // MAX_BYTES_S)
        return payload

    def _clear(self) -> None:
        self._shows: dict[str, _Show] = {}
        self._activities: dict[str, _Activity] = {}
        self._rasters: dict[str, _Raster] = {}
        self._decisions: dict[str, tuple[int, Iterable[float], float | None]] = {}
        self._angles: dict[str, _Points] = {}
        self._next = _NEVER
        self._number = 0

    def _angle(self, name: str) -> _Points:
        points = self._angles.get(name)
        if points is None:
            points = self._angles[name] = _Points()
        return points

    def _reduce_angles(self) -> dict[str, dict[str, Any]]:
        shown: dict[str, dict[str, Any]] = {}
        for name, points in self._angles.items():
            actuator, _, kind = name.partition("\0")
            shown.setdefault(actuator, {})[kind or "command"] = points.reduce()
        return shown


class _Events:
    """DVS events as two planes of newest times; x, y beyond the declared extent are left out."""

    stream = "images"

    def __init__(self, topic: Topic) -> None:
        height, width = topic.extent or EVENT_SIZE
        self._step = max(1, math.ceil(height / EVENT_SIZE[0]), math.ceil(width / EVENT_SIZE[1]))
        self._height, self._width = -(-height // self._step), -(-width // self._step)
        self._planes = np.full(2 * self._height * self._width, _LONG_AGO, np.int32)
        self._origin: int | None = None
        self._changed = False
        self._sent = _NEVER

    def take(self, packet: Packet) -> None:
        t, data = packet.t, packet.data
        if self._origin is None:
            self._origin = int(t[0])
        x, y = data["x"].astype(np.int32), data["y"].astype(np.int32)
        if self._step > 1:
            x //= self._step
            y //= self._step
        y += (data["on"] != 0) * np.int32(self._height)
        when = ((t - self._origin) >> _UNIT_SHIFT).astype(np.int32)
        inside = (x < self._width) & (data["y"] < self._height * self._step)
        index = y * self._width + x
        if not inside.all():
            index, when = index[inside], when[inside]
        self._planes[index] = when
        self._changed = True

    def reduce(self, now: int) -> dict[str, Any] | None:
        if self._origin is None or not (self._changed or now - self._sent >= _REPEAT):
            return None
        if now - self._origin > _REBASE:
            self._rebase(now)
        age = np.int32((now - self._origin) >> _UNIT_SHIFT) - self._planes
        level = _LEVELS[np.clip(age, 0, len(_LEVELS) - 1)]
        size = self._height * self._width
        off, on = level[:size], level[size:]
        packed = (on << 4) | off
        # Goes on being sent until the last event has faded.
        self._changed = bool(packed.any())
        self._sent = now
        return {"kind": "events", "w": self._width, "h": self._height, "data": packed.tobytes()}

    def _rebase(self, now: int) -> None:
        """Count from now, before int32 runs out; all that was faded long ago stays so."""
        assert self._origin is not None
        units = (now - self._origin) >> _UNIT_SHIFT
        np.maximum(self._planes.astype(np.int64) - units, _LONG_AGO, out=self._planes, casting="unsafe")
        self._origin += units << _UNIT_SHIFT


class _Image:
    """The newest camera frame, every k-th pixel of it, as uint8."""

    stream = "images"

    def __init__(self, topic: Topic) -> None:
        height, width, *channels = topic.shape
        self._channels = 3 if channels and channels[0] >= 3 else 1
        self._step = max(1, math.ceil(math.sqrt(height * width * self._channels / FRAME_BYTES)))
        self._newest: NDArray[Any] | None = None
        self._sent: NDArray[Any] | None = None
        self._sent_at = _NEVER

    def take(self, packet: Packet) -> None:
        self._newest = packet.data[-1]

    def reduce(self, now: int) -> dict[str, Any] | None:
        image = self._newest
        if image is None or (image is self._sent and now - self._sent_at < _REPEAT):
            return None
        self._sent, self._sent_at = image, now
        small = image[:: self._step, :: self._step]
        if small.ndim == 3:
            small = small[:, :, : self._channels]
        height, width = small.shape[:2]
        return {"kind": "frame", "w": width, "h": height, "c": self._channels, "data": _grey(small).tobytes()}


class _Trace:
    """Samples of a scalar or a short vector: the newest in each step of 5 ms."""

    stream = "traces"

    def __init__(self, topic: Topic) -> None:
        self._unit = topic.unit
        self._width = math.prod(topic.shape)
        self._points = _Points()

    def take(self, packet: Packet) -> None:
        t, data = packet.t, packet.data
        if len(t) == 1:
            self._points.add(int(t[0]), data[0].ravel().tolist())
            return
        step = t // _TRACE_STEP
        for at in (*np.flatnonzero(step[1:] != step[:-1])[-_TRACE_POINTS:].tolist(), len(t) - 1):
            self._points.add(int(t[at]), data[at].ravel().tolist())

    def reduce(self, now: int) -> dict[str, Any] | None:
        return {"unit": self._unit, "width": self._width, **self._points.reduce()}


class _Segment:
    """Which file of a playlist plays."""

    stream = "segments"

    def __init__(self, topic: Topic) -> None:
        self._newest: Any = None

    def take(self, packet: Packet) -> None:
        self._newest = packet.data[-1]

    def reduce(self, now: int) -> dict[str, Any] | None:
        name = bytes(self._newest["name"]).decode("utf-8", "replace")
        return {"index": int(self._newest["index"]), "label": int(self._newest["label"]), "name": name}


class _Truth:
    """What a simulated world says of its target, in pixels: its error (2), and where the retina sees it (2).

    How its base turns, in rad/s (2), follows; NaN where it does not say.
    """

    stream = "truth"

    def __init__(self, topic: Topic) -> None:
        self._base = "base_rad_s" in (topic.dtype.names or ())
        self._points = _Points()

    def take(self, packet: Packet) -> None:
        for t, row in zip(packet.t[-_TRACE_POINTS:].tolist(), packet.data[-_TRACE_POINTS:], strict=True):
            base = row["base_rad_s"].tolist() if self._base else [math.nan, math.nan]
            self._points.add(t, [*row["error_px"].tolist(), *row["target_px"].tolist(), *base])

    def reduce(self, now: int) -> dict[str, Any] | None:
        return {"width": TRUTH_WIDTH, **self._points.reduce()}


class _Nothing:
    """A topic that has no picture."""

    stream = ""

    def take(self, packet: Packet) -> None:
        """Never called: no stream has this name."""

    def reduce(self, now: int) -> dict[str, Any] | None:
        return None


class _Activity:
    """How many events of a topic bear a stamp within each bin."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._last = -1

    def take(self, t: NDArray[np.int64]) -> None:
        bins = t // BIN
        self._reach(int(bins[-1]))
        if len(t) == 1:  # most packets of a gyro hold one sample: no arrays for those
            if bins[0] > self._last - _BINS:
                self._counts[bins[0] % _BINS] += 1
            return
        np.add.at(self._counts, bins[bins > self._last - _BINS] % _BINS, 1)

    def reduce(self, now: int) -> dict[str, Any]:
        self._reach(now // BIN)
        first = self._last - _BINS + 1
        data = np.minimum(np.roll(self._counts, -(first % _BINS)), 65535).astype("<u2").tobytes()
        return {"bin_s": BIN / _SECOND, "first": first, "bins": _BINS, "data": data}

    def _reach(self, last: int) -> None:
        """Make `last` the newest bin, emptying those between."""
        for at in range(max(self._last + 1, last - _BINS + 1), last + 1):
            self._counts[at % _BINS] = 0
        self._last = max(self._last, last)


_Show = _Events | _Image | _Trace | _Truth | _Segment | _Nothing


class _Raster:
    """Spike counts by time bin and row; several neurons share a row where there are more than ROWS."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows = max(1, min(ROWS, size))
        self._counts = np.zeros((_BINS, self._rows), np.int32)
        self._last = -1

    def take(self, t: int | NDArray[np.int64], index: NDArray[np.integer[Any]], count: int | NDArray[Any]) -> None:
        if (top := int(index.max())) >= self._size:
            self._grow(top + 1)
        row = index.astype(np.int64) * self._rows // self._size if self._size > self._rows else index
        if isinstance(t, np.ndarray):
            if not len(t):
                return
            bins = t // BIN
            self._reach(int(bins[-1]))
            kept = bins > self._last - _BINS
            if not kept.all():
                bins, row = bins[kept], row[kept]
                count = count[kept] if isinstance(count, np.ndarray) else count
            np.add.at(self._counts, (bins % _BINS, row), count)
        else:
            at = int(t) // BIN
            self._reach(at)
            if at > self._last - _BINS:
                np.add.at(self._counts[at % _BINS], row, count)

    def reduce(self, now: int) -> dict[str, Any]:
        self._reach(now // BIN)
        first = self._last - _BINS + 1
        counts = np.roll(self._counts, -(first % _BINS), axis=0)
        data = np.minimum(counts, 255).astype(np.uint8).tobytes()
        return {
            "size": self._size,
            "rows": self._rows,
            "bin_s": BIN / _SECOND,
            "first": first,
            "bins": _BINS,
            "data": data,
        }

    def _reach(self, last: int) -> None:
        """Make `last` the newest bin, emptying those between."""
        if last <= self._last:
            return
        if last - self._last >= _BINS:
            self._counts[:] = 0
        else:
            for at in range(self._last + 1, last + 1):
                self._counts[at % _BINS] = 0
        self._last = last

    def _grow(self, size: int) -> None:
        last = self._last
        self.__init__(size)  # type: ignore[misc]  # a population of unknown size begins again when it turns out larger
        self._last = last


class _Points:
    """(time, values) of the last OVERLAP, at most one every 5 ms."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, tuple[float, ...] | list[float]]] = deque(maxlen=_TRACE_POINTS)

    def add(self, t: int, values: tuple[float, ...] | list[float]) -> None:
        points = self._points
        if points and t // _TRACE_STEP == points[-1][0] // _TRACE_STEP:
            points[-1] = (t, values)
        else:
            points.append((t, values))

    def reduce(self) -> dict[str, Any]:
        t = np.array([point[0] for point in self._points], np.float64) / _SECOND
        v = np.array([point[1] for point in self._points], np.float32)
        return {"t": t.tobytes(), "v": v.tobytes()}


def _show(topic: Topic) -> _Show:
    names = topic.dtype.base.names
    if names is not None:
        if {"x", "y", "on"} <= set(names):
            return _Events(topic)
        if _is_truth(topic.dtype.base):
            return _Truth(topic)
        return _Segment(topic) if topic.dtype == SEGMENT else _Nothing()
    if topic.element.kind not in "biuf":
        return _Nothing()
    if len(topic.shape) in (2, 3) and topic.extent is not None:
        return _Image(topic)
    return _Trace(topic) if math.prod(topic.shape) <= _MAX_TRACES else _Nothing()


def _is_truth(dtype: np.dtype[Any]) -> bool:
    """Whether it has pairs of floats by the names that the page knows."""
    fields = dict(dtype.fields or {})
    known = [fields[name][0] for name in ("error_px", "target_px", "base_rad_s") if name in fields]
    return {"error_px", "target_px"} <= set(fields) and all(f.base.kind == "f" and f.shape == (2,) for f in known)


def _grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Any numeric image as uint8: floats are taken as 0 to 1, wider integers keep their top byte."""
    shown: NDArray[np.uint8]
    if image.dtype.kind == "f":
        shown = (np.clip(np.nan_to_num(image), 0.0, 1.0) * 255).astype(np.uint8)
    elif image.dtype.kind == "b":
        shown = image.astype(np.uint8) * np.uint8(255)
    else:
        shown = np.right_shift(image, 8 * (image.dtype.itemsize - 1)).astype(np.uint8)
    return shown


def _decision(t: int, scores: Iterable[float], value: float | None) -> dict[str, Any]:
    return {
        "t": t / _SECOND,
        "scores": [float(score) for score in scores],
        "value": None if value is None else float(value),
    }
