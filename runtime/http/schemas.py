"""Strict models of all that the API says and takes. Unknown fields are refused, numbers are finite."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class _Said(BaseModel):
    """A part of control's status: exactly these fields."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Asked(BaseModel):
    """A request: nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class CommandRequest(_Asked):
    """A set-point and how long it may act; without `ttl_s`, the actuator's own."""

    value: Annotated[float, Field(ge=-1e9, le=1e9)]
    ttl_s: Annotated[float, Field(gt=0, le=60)] | None = None


class StopRequest(_Asked):
    """Why to stop. The body may be left out: stopping needs no reason."""

    reason: Reason = "asked over HTTP"


class ReleaseRequest(_Asked):
    """Why it is safe to move again."""

    reason: Reason


class RecordingRequest(_Asked):
    """A name for the recording; without one, control makes it."""

    name: Slug | None = None


class RestoreRequest(_Asked):
    """A snapshot in the robot's own directory."""

    name: Slug


class LiveRequest(_Asked):
    """What a viewer wants: at most so many pictures a second, of these streams (none: all).

    A picture holds the last 0.32 s of rasters and traces, so below 4 a second these have holes.
    """

    max_hz: Annotated[float, Field(ge=0.1, le=30)] = 30.0
    streams: Annotated[
        list[Literal["images", "rasters", "traces", "segments", "decisions", "actuators", "activity", "truth"]],
        Field(max_length=16),
    ] = []


class ClockState(_Said):
    speed: float


class EstopState(_Said):
    latched: bool
    confirmed: bool
    reason: str | None = None
    since_ns: int | None = None


class DtypeState(_Said):
    base: str | list[list[Any]]
    shape: list[int]


class TopicState(_Said):
    name: str
    dtype: DtypeState
    unit: str
    rate_hz: float | None
    extent: list[int] | None
    source: str | None
    packets: int
    events: int
    bytes: int
    packet_rate_hz: float | None
    event_rate_hz: float | None
    lost: int
    late: int
    age_s: float | None
    alive: bool | None
    on_time: bool | float | None
    complete: bool | float | None


class SubscriptionState(_Said):
    name: str
    topics: list[str]
    lane: str
    policy: str
    capacity: int | None
    depth: int
    delivered: int
    dropped: int
    high_water: int


class SensorState(_Said):
    name: str
    kind: str
    state: Literal["running", "restarting", "ended", "failed", "cut"]
    restarts: int
    error: str | None
    topics: list[str]


class PopulationState(_Said):
    name: str
    size: int
    spikes: int
    silent: float | None
    """Share of its neurons that never fired since the last reset."""
    saturated: float | None
    """Share that fired in nine ticks of ten or more."""


class CallTimes(_Said):
    p50: float | None
    p99: float | None
    max: float | None


class NetworkState(_Said):
    name: str
    mode: str
    dt_s: float | None
    t: int
    merge: str
    events_in: int
    events_out: int
    events_late: int
    events_risky: int
    """Late ones that may have changed a spike."""
    synops: int
    dense_synops: int
    synops_adds: int | None
    """A sigma-delta network's, as additions alone: a change of m quanta counts m."""
    unit_touches: int
    energy_j_estimate: float | None
    ticks: int
    silent_ticks: int
    populations: list[PopulationState]
    call_us: CallTimes
    inline_calls: int
    thread_calls: int
    inputs: list[Any]
    outputs: list[Any]
    dialect: dict[str, Any] | None


class ActuatorLimits(_Said):
    min: float | None
    max: float | None
    slew: float | None


class ActuatorState(_Said):
    name: str
    kind: str
    unit: str
    limits: ActuatorLimits
    safe_value: float | None
    commanded: float | None
    applied: float | None
    measured: float | None
    mode: Literal["active", "safe", "stopped"]
    reason: str | None
    ttl_s: float | None
    age_s: float | None
    source: str | None
    accepts_commands: bool


class OutputState(_Said):
    name: str
    to: str | None
    value: float | None
    label: int | float | str | None
    scores: list[float | None] | None
    age_s: float | None


class Latency(_Said):
    p50_us: float | None
    p99_us: float | None
    max_us: float | None
    count: int


class RecordingState(_Said):
    active: bool
    name: str | None = None
    bytes: int = 0
    messages: int = 0
    incomplete: bool = False
    gaps: dict[str, int] = {}


class LinkState(_Said):
    name: str
    state: str
    sent: int
    received: int
    dropped: int
    gaps: int
    reconnects: int


class ReadyState(_Said):
    ok: bool
    problems: list[str]


class GraphNode(_Said):
    id: str
    role: str


class GraphEdge(_Said):
    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    source: str = Field(alias="from")
    to: str
    topic: str | None
    policy: str | None


class GraphState(_Said):
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class Status(_Said):
    """All of it, as control pushes it ten times a second and at every change."""

    robot: str
    run_id: str
    version: str
    t: int
    wall_ns: int
    uptime_s: float
    clock: ClockState
    estop: EstopState
    topics: list[TopicState]
    subscriptions: list[SubscriptionState]
    sensors: list[SensorState]
    network: NetworkState | None
    actuators: list[ActuatorState]
    outputs: list[OutputState]
    latency: Latency
    lost_total: int
    loop_lag_us: float | None
    recording: RecordingState
    links: list[LinkState]
    ready: ReadyState
    config: dict[str, Any]
    graph: GraphState


class Applied(BaseModel):
    """What control did with a command; it may say more than this."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    applied: float | None


class EstopResult(BaseModel):
    """Latched means no command acts; confirmed means that read-back shows every actuator at its safe state."""

    model_config = ConfigDict(extra="allow")

    latched: bool
    confirmed: bool = False


class Done(BaseModel):
    """What control said when it had done it."""

    model_config = ConfigDict(extra="allow")

    ok: bool = True


class Health(_Said):
    """Whether this process lives, and whether control speaks to it."""

    status: Literal["pass", "warn"]
    control: Literal["connected", "away"]


class Ready(_Said):
    """The robot does what it is configured to do."""

    status: Literal["pass"]
