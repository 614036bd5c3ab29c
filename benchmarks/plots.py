"""SVG plots without a plotting library: lines over a plain or logarithmic axis, stacked bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 56, 56
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#7f7f7f")
_FONT = 'font-family="Helvetica, Arial, sans-serif"'


class _Canvas:
    def __init__(self, title: str, x_label: str, y_label: str, height: int = _HEIGHT) -> None:
        self.height = height
        self.bottom = float(height - _BOTTOM)
        middle = (self.bottom + _TOP) / 2
        size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT} font-size="12">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        ]
        self.text(_WIDTH / 2, 20, title, "middle", 'font-size="15"')
        self.text((_LEFT + _WIDTH - _RIGHT) / 2, height - 14, x_label, "middle")
        turned = f'transform="rotate(-90 16 {middle:.1f})"'
        self.text(16, middle, y_label, "middle", turned)

    def text(self, x: float, y: float, text: str, anchor: str = "start", more: str = "") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = "#dddddd") -> None:
        self._parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'
        )

    def add(self, part: str) -> None:
        self._parts.append(part)

    def legend(self, names: Sequence[str]) -> None:
        x = float(_LEFT)
        for name, colour in zip(names, _COLOURS, strict=False):
            self.add(f'<rect x="{x:.1f}" y="32" width="11" height="11" fill="{colour}"/>')
            self.text(x + 16, 42, name)
            x += 34 + 6.6 * len(name)

    def y_axis(self, top: float) -> float:
        """Draw it from 0 up to at least ``top``; returns pixels per unit."""
        step = _round_step(top / 5)
        ticks = math.ceil(top / step)
        scale = (self.bottom - _TOP) / (ticks * step)
        for number in range(ticks + 1):
            y = self.bottom - number * step * scale
            self.line(_LEFT, y, _WIDTH - _RIGHT, y)
            self.text(_LEFT - 6, y + 4, f"{number * step:g}", "end")
        return scale

    def write(self, path: Path) -> None:
        self.line(_LEFT, _TOP, _LEFT, self.bottom, "#444444")
        self.line(_LEFT, self.bottom, _WIDTH - _RIGHT, self.bottom, "#444444")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self._parts, "</svg>\n"]))


def _round_step(step: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not below ``step``."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def line_plot(
    path: Path,
    title: str,
    axes: tuple[str, str],
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    logarithmic: bool = False,
) -> None:
    """Points by name, joined by lines; y starts at 0, x is logarithmic if wanted."""
    canvas = _Canvas(title, *axes)
    place = math.log2 if logarithmic else float
    xs = sorted({x for points in series.values() for x, _ in points})
    low, high = place(xs[0]), place(xs[-1])
    width = _WIDTH - _RIGHT - _LEFT - 40
    scale = canvas.y_axis(max(y for points in series.values() for _, y in points) or 1.0)

    def at(x: float, y: float) -> tuple[float, float]:
        share = (place(x) - low) / (high - low) if high > low else 0.5
        return _LEFT + 20 + share * width, canvas.bottom - y * scale

    for x in xs:
        canvas.line(at(x, 0)[0], canvas.bottom, at(x, 0)[0], canvas.bottom + 5, "#444444")
        canvas.text(at(x, 0)[0], canvas.bottom + 18, f"{x:g}", "middle")
    for points, colour in zip(series.values(), _COLOURS, strict=False):
        places = [at(x, y) for x, y in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        canvas.add(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in places:
            canvas.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    canvas.legend(list(series))
    canvas.write(path)


def stacked_bars(
    path: Path,
    title: str,
    y_label: str,
    parts: Sequence[str],
    bars: Mapping[str, Sequence[float]],
) -> None:
    """A bar for each name, made of one piece for each of ``parts`` from the bottom up."""
    canvas = _Canvas(title, "", y_label, _HEIGHT + 60)
    canvas.bottom -= 60
    scale = canvas.y_axis(max(sum(values) for values in bars.values()) or 1.0)
    room = (_WIDTH - _RIGHT - _LEFT) / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        x, y = _LEFT + room * (number + 0.15), float(canvas.bottom)
        for value, colour in zip(values, _COLOURS, strict=False):
            y -= value * scale
            canvas.add(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{room * 0.7:.1f}" '
                f'height="{value * scale:.2f}" fill="{colour}"/>'
            )
        middle = x + room * 0.35
        canvas.text(middle, y - 4, f"{sum(values):.2g}", "middle", 'font-size="10"')
        turned = f'transform="rotate(-35 {middle:.1f} {canvas.bottom + 14:.1f})" font-size="11"'
        canvas.text(middle, canvas.bottom + 14, name, "end", turned)
    canvas.legend(list(parts))
    canvas.write(path)
