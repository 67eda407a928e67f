"""Charts: what stands where, by reading the drawn document back."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from runtime.bench.axes import Axis, axis, number
from runtime.bench.svg import COLOURS, HEIGHT, LEFT, WIDTH, Chart, page

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    return root


def words(root: ElementTree.Element) -> list[str]:
    return [str(node.text) for node in root.iter(f"{SVG}text")]


def ways(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    found = []
    for node in root.iter(f"{SVG}polyline"):
        pairs = (pair.split(",") for pair in node.attrib["points"].split())
        found.append([(float(x), float(y)) for x, y in pairs])
    return found


def chart() -> Chart:
    made = Chart("Error & work", "operations", "error %", log_x=True)
    made.line("one <a>", [10, 100, 1000], [1, 2, 3], ["8", "16", "32"])
    made.points("two", [50], [1.5])
    made.bound("at most 2.5", 2.5)
    return made


def test_all_text_is_there_and_escaped() -> None:
    found = words(drawn(chart().svg()))
    for word in ("Error & work", "operations", "error %", "one <a>", "two", "8", "16", "32", "at most 2.5", "100"):
        assert word in found


def test_equal_factors_are_equal_steps_on_a_logarithmic_axis() -> None:
    (way,) = ways(drawn(chart().svg()))
    (x0, y0), (x1, y1), (x2, y2) = way
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert x0 < x1
    assert y0 > y1, "more is further up"


def test_everything_lies_within_the_frame() -> None:
    root = drawn(chart().svg())
    for way in ways(root):
        assert all(LEFT <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in way)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width > WIDTH
    assert height > HEIGHT


def test_points_are_not_joined_and_each_has_a_marker() -> None:
    root = drawn(chart().svg())
    assert len(ways(root)) == 1
    filled = [node.attrib.get("fill") for node in root.iter()]
    assert filled.count(COLOURS[0]) == 3 + 1, "three points and the legend"
    assert filled.count(COLOURS[1]) == 1 + 1


def test_a_name_keeps_its_colour_on_a_page() -> None:
    first, second = chart(), Chart("b", "x", "y")
    second.line("two", [0, 1], [0, 1])
    root = drawn(page([first, second]))
    strokes = [node.attrib["stroke"] for node in root.iter(f"{SVG}polyline")]
    assert strokes == [COLOURS[0], COLOURS[1]]
    groups = [node.attrib["transform"] for node in root.iter(f"{SVG}g")]
    assert len(groups) == len(set(groups)) == 2


def test_a_page_of_three_has_two_rows() -> None:
    one, three = (float(drawn(page([chart()] * many)).attrib["height"]) for many in (1, 3))
    assert three > 1.9 * one


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_its_values_between_round_numbers(log: bool) -> None:
    for low, high in ((0.013, 0.94), (3.2, 3.3), (7.0, 7.0), (150.0, 2.4e6), (1e-3, 9e9)):
        found = axis([high, low], log)
        assert found.low <= low
        assert high <= found.high
        assert found.low < found.high
        assert 2 <= len(found.ticks) <= 12
        assert all(-1e-9 <= found.share(tick) <= 1 + 1e-9 for tick in found.ticks)
        assert all(float(f"{tick:.2g}") == pytest.approx(tick, rel=1e-9) or not log for tick in found.ticks)


def test_values_far_from_nothing_do_not_start_there() -> None:
    assert axis([98.0, 99.0], False).low > 90
    assert axis([1.0, 9.0], False).low == 0


def test_share_is_the_way_along() -> None:
    assert Axis(1, 100, True, ()).share(10) == pytest.approx(0.5)
    assert Axis(-1, 3, False, ()).share(0) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (0.05, "0.05"), (3, "3"), (20_000, "20k"), (1.5e6, "1.5M"), (-2e9, "-2G")]
)
def test_numbers_are_short(value: float, said: str) -> None:
    assert number(value) == said


def test_labels_of_neighbours_do_not_cover_one_another() -> None:
    made = Chart("t", "x", "y")
    made.points("a", [1.0, 1.01, 5], [1.0, 1.01, 5], ["first", "second", "far"])
    at = {
        str(node.text): (float(node.attrib["x"]), float(node.attrib["y"]))
        for node in drawn(made.svg()).iter(f"{SVG}text")
    }
    (x0, y0), (x1, y1) = at["first"], at["second"]
    assert abs(x0 - x1) > 25 or abs(y0 - y1) >= 10


def test_what_cannot_be_drawn_is_refused() -> None:
    made = Chart("t", "x", "y", log_y=True)
    with pytest.raises(ValueError, match="above 0"):
        made.line("a", [1, 2], [0, 1])
    with pytest.raises(ValueError, match="expected finite"):
        made.points("a", [math.nan], [1])
    with pytest.raises(ValueError, match="2 x, 1 y"):
        made.points("a", [1, 2], [1])
    with pytest.raises(ValueError, match="labels"):
        made.points("a", [1], [1], ["b", "c"])
    with pytest.raises(ValueError, match="no points"):
        made.svg()
    with pytest.raises(ValueError, match="at least one"):
        page([])
