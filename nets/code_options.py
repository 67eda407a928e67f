"""Settings of encoders and decoders as people write them: checked one by one, named in every refusal."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
NANOSECONDS = 1_000_000_000


def call_with_options(what: str, build: Callable[..., T], options: Mapping[str, Any], *facts: Any) -> T:
    """`build(*facts, **options)`: its keyword-only parameters are the options. Unknown or missing: ValueError."""
    found = inspect.signature(build).parameters
    parameters = {n: p for n, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for option in options:
        if option not in parameters:
            raise ValueError(f"{what}: unknown option {option!r}{suggest(option, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            raise ValueError(f"{what}: option {name!r} is missing")
    return build(*facts, **options)


def suggest(word: str, known: Collection[str]) -> str:
    """`: did you mean 'x'?`, or the list of what is known."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean {close[0]!r}?" if close else f", expected one of {', '.join(sorted(known)) or 'none'}"


def choice(name: str, value: Any, known: Sequence[str]) -> str:
    """One of the known words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}{suggest(str(value), known)}")
    return value


def flag(name: str, value: Any) -> bool:
    """True or false, nothing that merely looks so."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected true or false")
    return value


def whole(name: str, value: Any, low: int = 1) -> int:
    """A whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value!r}, expected a whole number of at least {low}")
    return value


def wholes(name: str, value: Any, count: int, low: int = 0) -> tuple[int, ...]:
    """`count` whole numbers of at least `low`."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        raise ValueError(f"{name} is {value!r}, expected {count} whole numbers")
    return tuple(whole(f"{name}[{i}]", v, low) for i, v in enumerate(value))


def number(name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, expected a finite number")
    return float(value)


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    if number(name, value) <= 0:
        raise ValueError(f"{name} is {value!r}, expected above 0")
    return float(value)


def numbers(name: str, value: Any, count: int) -> tuple[float, ...]:
    """`count` finite numbers; a single number stands for all of them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != count:
            raise ValueError(f"{name} has {len(value)} numbers, expected {count}")
        return tuple(number(f"{name}[{i}]", v) for i, v in enumerate(value))
    return (number(name, value),) * count


def duration_ns(name: str, value: Any) -> int:
    """Seconds above 0 as whole nanoseconds, at least one."""
    ns = round(positive(name, value) * NANOSECONDS)
    if ns < 1:
        raise ValueError(f"{name} is {value!r}, expected at least 1e-9")
    return ns
