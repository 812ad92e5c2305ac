"""The pages' charts, as the SVG that they are."""

import xml.etree.ElementTree as ET

import pytest

from data.bundle.card import ReliabilityBin, Share
from serving.pages.show import (
    BarPart,
    bar,
    interval,
    reliability,
    signed_bar,
    stacked,
    tones,
)

ODD = '<A> & "B"'


def shapes(svg: str, name: str) -> list[dict[str, str]]:
    """The attributes of each shape of one kind."""
    return [dict(shape.attrib) for shape in ET.fromstring(svg).iter(name)]


@pytest.mark.parametrize(
    ("share", "width"), [(0, "0%"), (0.5, "50%"), (1, "100%"), (1.2, "100%"), (-0.1, "0%")]
)
def test_a_bar_is_as_wide_as_its_share(share: float, width: str) -> None:
    assert shapes(bar(share, "risk-1"), "rect")[1] == {
        "class": "risk-1",
        "width": width,
        "height": "100%",
        "rx": "3",
    }


def test_a_bar_marks_where_it_was_before() -> None:
    assert shapes(bar(0.5, before=0.25), "rect")[-1]["x"] == "25%"
    assert len(shapes(bar(0.5), "rect")) == 2


@pytest.mark.parametrize(
    ("value", "most", "up_is_good", "drawn"),
    [
        (2, 2, True, ("50%", "50%", "raises")),
        (-1, 2, True, ("25%", "25%", "lowers")),
        (0, 2, True, ("50%", "0%", "raises")),
        (9, 2, True, ("50%", "50%", "raises")),
        (1, 2, False, ("50%", "25%", "lowers")),
        (0, 0, True, ("50%", "0%", "raises")),
    ],
    ids=["up", "down", "nothing", "too far", "up is bad", "all are nothing"],
)
def test_an_effect_goes_to_its_side_of_the_middle_in_the_colour_of_what_it_does(
    value: float, most: float, up_is_good: bool, drawn: tuple[str, str, str]
) -> None:
    (bar_drawn,) = shapes(signed_bar(value, most, up_is_good=up_is_good), "rect")
    assert (bar_drawn["x"], bar_drawn["width"], bar_drawn["class"]) == drawn


def test_parts_of_a_whole_follow_one_another_and_say_what_they_are() -> None:
    svg = stacked([BarPart("A", 0.25, "safe-1"), BarPart(ODD, 0.75, "risk-1")], ODD)
    assert [(part["x"], part["width"]) for part in shapes(svg, "rect")] == [("0%", "25%"), ("25%", "75%")]
    assert ET.fromstring(svg).attrib["aria-label"] == ODD
    assert [title.text for title in ET.fromstring(svg).iter("title")] == ["A", ODD]


def test_an_interval_lies_on_its_scale() -> None:
    svg = interval(0.2, 0.1, 0.5, most=0.4)
    assert shapes(svg, "circle")[0]["cx"] == "50%"
    assert (shapes(svg, "line")[1]["x1"], shapes(svg, "line")[1]["x2"]) == ("25%", "100%")


def bin_of(share: float, low: float, high: float, n: int) -> ReliabilityBin:
    return ReliabilityBin(said=share, seen=Share(share=share, low=low, high=high, n=n))


def test_forecasts_that_come_true_as_often_as_they_say_lie_on_the_diagonal() -> None:
    svg = reliability([bin_of(0.5, 0.4, 0.6, 100), bin_of(0.9, 0.8, 1, 25)], ODD)
    (line,) = [one for one in shapes(svg, "line") if one.get("class") == "diagonal"]
    middle = (float(line["x1"]) + float(line["x2"])) / 2, (float(line["y1"]) + float(line["y2"])) / 2
    dots = shapes(svg, "circle")
    assert (float(dots[0]["cx"]), float(dots[0]["cy"])) == pytest.approx(middle)
    assert float(dots[0]["r"]) > float(dots[1]["r"]), "more students, a larger dot"
    assert ET.fromstring(svg).attrib["role"] == "img"
    assert shapes(reliability([], "empty"), "circle") == []


def test_tones_go_from_strong_to_faint_on_either_side_of_the_risk() -> None:
    found = tones(["A", "B", "C", "D", "F"], ["D", "F"])
    assert [found[label] for label in "ABCDF"] == ["safe-1", "safe-2", "safe-3", "risk-2", "risk-1"]
    many = tones([str(k) for k in range(12)], ["11"])
    assert set(many.values()) == {"safe-1", "safe-2", "safe-3", "safe-4", "risk-1"}


def test_drawings_beside_their_figures_are_hidden_from_screen_readers() -> None:
    for svg in (bar(0.5), signed_bar(1, 2), interval(0.5, 0.4, 0.6)):
        assert ET.fromstring(svg).attrib["aria-hidden"] == "true"
