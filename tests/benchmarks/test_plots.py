"""Plots are well-formed SVG that says what it shows."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.plots import line_plot, stacked_bars

_SVG = "{http://www.w3.org/2000/svg}"


def _texts(path: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(path).iter(f"{_SVG}text")]


def test_a_line_plot_shows_title_axes_names_and_every_point(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "growth.svg"
    series = {"a < b": [(64.0, 1.0), (256.0, 4.0), (1024.0, 16.0)], "flat": [(64.0, 2.0)]}
    line_plot(path, "Growth", ("periods", "seconds"), series, logarithmic=True)
    texts = _texts(path)
    assert {"Growth", "periods", "seconds", "a < b", "flat", "64", "256", "1024"} <= set(texts)
    circles = list(ET.parse(path).iter(f"{_SVG}circle"))
    assert len(circles) == 4
    xs = [float(circle.attrib["cx"]) for circle in circles[:3]]
    assert xs[1] - xs[0] == xs[2] - xs[1]  # steps of four are alike on this axis
    ys = [float(circle.attrib["cy"]) for circle in circles[:3]]
    assert ys[0] > ys[1] > ys[2] > 0


def test_bars_are_stacked_from_the_axis_up(tmp_path: Path) -> None:
    path = tmp_path / "bars.svg"
    stacked_bars(path, "Parts", "ms", ("proofs", "signature"), {"one": [1.0, 3.0], "two": [0, 2.0]})
    assert {"Parts", "ms", "proofs", "signature", "one", "two", "4", "2"} <= set(_texts(path))
    heights = [
        float(element.attrib["height"])
        for element in ET.parse(path).iter(f"{_SVG}rect")
        if element.attrib.get("height") not in ("11", None)
    ][1:]  # the first one is the background
    assert heights[1] / heights[0] == 3.0
