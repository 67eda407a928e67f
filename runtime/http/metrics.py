"""The last status as Prometheus metrics: nothing is counted here, so a scrape can never disagree with the API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from runtime.http.control import Control

_TOPIC = (
    ("packets", CounterMetricFamily, "tectum_packets", "Packets published"),
    ("events", CounterMetricFamily, "tectum_events", "Events published"),
    ("bytes", CounterMetricFamily, "tectum_bytes", "Bytes published"),
    ("lost", CounterMetricFamily, "tectum_lost", "Events lost before they were published"),
    ("late", CounterMetricFamily, "tectum_late", "Events that arrived behind network time"),
    ("packet_rate_hz", GaugeMetricFamily, "tectum_packet_rate_hertz", "Packets a second"),
    ("event_rate_hz", GaugeMetricFamily, "tectum_event_rate_hertz", "Events a second"),
    ("rate_hz", GaugeMetricFamily, "tectum_promised_rate_hertz", "What the topic promises"),
    ("age_s", GaugeMetricFamily, "tectum_age_seconds", "Since the newest packet"),
    ("alive", GaugeMetricFamily, "tectum_alive", "Whether its source speaks"),
)
_SUBSCRIPTION = (
    ("delivered", CounterMetricFamily, "tectum_delivered", "Packets delivered to a subscription"),
    ("dropped", CounterMetricFamily, "tectum_dropped", "Packets a subscription dropped"),
    ("depth", GaugeMetricFamily, "tectum_queue_depth", "Packets waiting in a subscription"),
    ("high_water", GaugeMetricFamily, "tectum_queue_high_water", "Most packets that ever waited"),
)
_NETWORK = (
    ("events_in", CounterMetricFamily, "tectum_network_events_in", "Events the network took in"),
    ("events_out", CounterMetricFamily, "tectum_network_events_out", "Events the network gave"),
    ("events_late", CounterMetricFamily, "tectum_network_events_late", "Events applied behind their time"),
    ("events_risky", CounterMetricFamily, "tectum_network_events_risky", "Late events that may have changed a spike"),
    ("synops", CounterMetricFamily, "tectum_synops", "Synaptic operations done"),
    ("dense_synops", CounterMetricFamily, "tectum_dense_synops", "Operations a dense pass would have done"),
    ("unit_touches", CounterMetricFamily, "tectum_unit_touches", "Neurons updated"),
    ("energy_j_estimate", CounterMetricFamily, "tectum_network_energy_joules", "Estimated energy"),
    ("ticks", CounterMetricFamily, "tectum_ticks", "Ticks closed"),
    ("silent_ticks", CounterMetricFamily, "tectum_silent_ticks", "Ticks without work"),
    ("inline_calls", CounterMetricFamily, "tectum_network_inline_calls", "Calls made on the loop"),
    ("thread_calls", CounterMetricFamily, "tectum_network_thread_calls", "Calls made in the thread"),
)
_SENSOR = (("restarts", CounterMetricFamily, "tectum_sensor_restarts", "Times a sensor was opened again"),)
_ACTUATOR = (
    ("commanded", GaugeMetricFamily, "tectum_commanded", "Newest set-point asked for"),
    ("applied", GaugeMetricFamily, "tectum_applied", "What the limiter let through"),
    ("measured", GaugeMetricFamily, "tectum_measured", "Read-back"),
    ("age_s", GaugeMetricFamily, "tectum_command_age_seconds", "Since the newest command"),
)
_LINK = (
    ("sent", CounterMetricFamily, "tectum_link_sent", "Messages sent"),
    ("received", CounterMetricFamily, "tectum_link_received", "Messages received"),
    ("dropped", CounterMetricFamily, "tectum_link_dropped", "Messages dropped"),
    ("gaps", CounterMetricFamily, "tectum_link_gaps", "Gaps in the sequence"),
    ("reconnects", CounterMetricFamily, "tectum_link_reconnects", "Times the link was made again"),
)
_QUANTILES = {"p50": "0.5", "p99": "0.99", "max": "1"}


def render(control: Control) -> tuple[bytes, str]:
    """(text, content type) of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(control))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_1_0_0


class _Collector:
    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        control = self._control
        yield GaugeMetricFamily("tectum_up", "Whether control speaks to the gateway", int(not control.is_away))
        yield GaugeMetricFamily("tectum_viewers", "Browsers that watch", control.viewers)
        if not control.is_away:
            yield from _metrics(control.status)


def _metrics(status: dict[str, Any]) -> Iterator[Metric]:
    info = {key: str(status.get(key, "")) for key in ("robot", "run_id", "version")}
    yield InfoMetricFamily("tectum_run", "The run", info)
    yield from _single("tectum_uptime_seconds", "Since the run began", status.get("uptime_s"))
    yield from _single("tectum_loop_lag_seconds", "How late the control loop runs", status.get("loop_lag_us"), 1e-6)
    yield from _single("tectum_estop_latched", "Whether the e-stop is latched", _of(status, "estop", "latched"))
    yield from _single("tectum_estop_confirmed", "Whether read-back confirms it", _of(status, "estop", "confirmed"))
    yield from _single("tectum_ready", "Whether the robot is ready", _of(status, "ready", "ok"))
    yield from _single("tectum_recording", "Whether a recording runs", _of(status, "recording", "active"))
    yield from _single("tectum_recording_bytes", "Size of the recording", _of(status, "recording", "bytes"))
    lost = status.get("lost_total")
    if _number(lost) is not None:
        yield CounterMetricFamily("tectum_lost_everywhere", "Events lost anywhere, device to link", lost)
    yield from _quantiles("tectum_latency_seconds", "Sensor to actuator", status.get("latency"), "_us")
    for table, label, items in (
        (_TOPIC, "topic", status.get("topics")),
        (_SUBSCRIPTION, "subscription", status.get("subscriptions")),
        (_SENSOR, "sensor", status.get("sensors")),
        (_ACTUATOR, "actuator", status.get("actuators")),
        (_LINK, "link", status.get("links")),
    ):
        yield from _table(table, label, items or [])
    yield from _states("tectum_sensor_state", "sensor", "state", status.get("sensors") or [])
    yield from _states("tectum_actuator_mode", "actuator", "mode", status.get("actuators") or [])
    network = status.get("network")
    if network is not None:
        yield from _table(_NETWORK, "network", [network])
        spikes = CounterMetricFamily("tectum_spikes", "Spikes of a population", labels=["population"])
        for population in network.get("populations") or []:
            spikes.add_metric([population["name"]], population["spikes"])
        yield spikes
        yield from _quantiles("tectum_network_call_seconds", "Length of a call", network.get("call_us"), "")


def _single(name: str, text: str, value: Any, factor: float = 1.0) -> Iterator[Metric]:
    number = _number(value)
    if number is not None:
        yield GaugeMetricFamily(name, text, number * factor)


def _table(table: Iterable[tuple[str, Any, str, str]], label: str, items: list[dict[str, Any]]) -> Iterator[Metric]:
    for field, family, name, text in table:
        metric = family(name, text, labels=[label])
        for item in items:
            number = _number(item.get(field))
            if number is not None:
                metric.add_metric([item["name"]], number)
        yield metric


def _states(name: str, label: str, field: str, items: list[dict[str, Any]]) -> Iterator[Metric]:
    metric = GaugeMetricFamily(name, "1 for the state it is in", labels=[label, field])
    for item in items:
        metric.add_metric([item["name"], str(item.get(field))], 1)
    yield metric


def _quantiles(name: str, text: str, values: dict[str, Any] | None, suffix: str) -> Iterator[Metric]:
    metric = GaugeMetricFamily(name, text, labels=["quantile"])
    for key, quantile in _QUANTILES.items():
        number = _number((values or {}).get(key + suffix))
        if number is not None:
            metric.add_metric([quantile], number * 1e-6)
    yield metric


def _of(status: dict[str, Any], section: str, field: str) -> Any:
    return (status.get(section) or {}).get(field)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
