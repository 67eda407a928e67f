"""What changed between two statuses of control, as events a person would want to hear of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]


def changes(before: dict[str, Any] | None, after: dict[str, Any]) -> list[Event]:
    """Events `{kind, name?, from, to, detail?}` that lead from one status to the next, in the status' order."""
    if before is None:
        return [{"kind": "control", "from": "away", "to": "connected"}]
    if before.get("run_id") != after.get("run_id"):
        return [{"kind": "control", "from": "restarted", "to": "connected"}]
    return list(_changes(before, after))


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Event]:
    yield from _estop(before.get("estop") or {}, after.get("estop") or {})
    yield from _each("sensor", "state", "error", before.get("sensors"), after.get("sensors"))
    yield from _each("actuator", "mode", "reason", before.get("actuators"), after.get("actuators"))
    yield from _each("link", "state", None, before.get("links"), after.get("links"))
    yield from _each("topic", "alive", None, before.get("topics"), after.get("topics"))
    was, now = (bool((status.get("recording") or {}).get("active")) for status in (before, after))
    if was != now:
        name = (after if now else before)["recording"].get("name")
        yield {"kind": "recording", "name": name, "from": _on(was), "to": _on(now)}
    was, now = (bool((status.get("ready") or {}).get("ok")) for status in (before, after))
    if was != now:
        problems = "; ".join((after.get("ready") or {}).get("problems") or [])
        yield {"kind": "ready", "from": was, "to": now, "detail": problems}


def _estop(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Event]:
    was, now = (
        ("confirmed" if state.get("confirmed") else "latched") if state.get("latched") else "released"
        for state in (before, after)
    )
    if was != now:
        yield {"kind": "estop", "from": was, "to": now, "detail": after.get("reason") or ""}


def _each(kind: str, field: str, detail: str | None, before: Any, after: Any) -> Iterator[Event]:
    old = {item["name"]: item for item in before or ()}
    for item in after or ():
        was = old.get(item["name"])
        if was is not None and was.get(field) != item.get(field):
            event: Event = {"kind": kind, "name": item["name"], "from": was.get(field), "to": item.get(field)}
            if detail and item.get(detail):
                event["detail"] = item[detail]
            yield event


def _on(active: bool) -> str:
    return "on" if active else "off"
