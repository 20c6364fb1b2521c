"""Small charts of the report as inline SVG: each says in words what it shows, and its figures stand in a table too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

COLOURS = {
    "accepted": "#2e7d5b", "quarantined": "#c4601d", "duplicate": "#8b95a5", "withheld": "#5d4e99",
    "link": "#2e7d5b", "review": "#d9a22b", "no": "#b9c1cc",
    "persons": "#2e5f8a", "for": "#2e7d5b", "against": "#c4601d", "sum": "#1d2430",
}  # fmt: skip


def stacked_bar(parts: Mapping[str, int], *, whole: int, label: str, width: int = 420, height: int = 16) -> Markup:
    """One horizontal bar whose length is its sum's share of `whole`; each part in its own colour."""
    at, boxes = 0.0, []
    for name, rows in parts.items():
        if rows:
            wide = max(2.0, rows / max(whole, 1) * width)
            title = f"<title>{escape(name)}: {rows:,}</title>"
            boxes.append(
                f'<rect x="{at:.1f}" width="{wide:.1f}" height="{height}" fill="{COLOURS[name]}">{title}</rect>'
            )
            at += wide
    return _svg("".join(boxes), width + 2 * len(parts), height, label, css="bar")


@dataclass(frozen=True)
class _Plot:
    """Where the columns of a histogram stand: values from low to high, on a ground of fixed size."""

    low: int
    high: int
    wide: float = 760.0
    tall: float = 200.0
    top: float = 30.0
    left: float = 10.0

    @property
    def step(self) -> float:
        return self.wide / (self.high - self.low)

    @property
    def ground(self) -> float:
        return self.top + self.tall

    def x(self, value: float) -> float:
        return self.left + (value - self.low) * self.step


def histogram(
    bins: Mapping[int, Mapping[str, int]], marks: Sequence[tuple[str, float]], *, order: Sequence[str], label: str
) -> Markup:
    """Stacked columns, one a unit; heights by the square root of the counts, so that the few stay visible."""
    if not bins:
        return Markup("")
    values = [*bins, *(int(value) for _, value in marks)]
    plot = _Plot(min(values), max(values) + 1)
    most = max(sum(parts.values()) for parts in bins.values()) ** 0.5
    shapes = [_column(plot, value, parts, order, most) for value, parts in sorted(bins.items())]
    shapes += [_mark(plot, text, value, number) for number, (text, value) in enumerate(marks)]
    end = plot.left + plot.wide
    shapes.append(f'<line x1="{plot.left}" y1="{plot.ground}" x2="{end}" y2="{plot.ground}" class="axis"/>')
    ticks = (value for value in range(plot.low, plot.high + 1) if value % 10 == 0)
    shapes += [f'<text x="{plot.x(v):.1f}" y="{plot.ground + 16}" class="tick">{v}</text>' for v in ticks]
    return _svg("".join(shapes), int(plot.wide + 2 * plot.left), int(plot.ground + 24), label, css="histogram")


def _column(plot: _Plot, value: int, parts: Mapping[str, int], order: Sequence[str], most: float) -> str:
    total, base, boxes = sum(parts.values()), plot.ground, []
    for name in (name for name in order if parts.get(name)):
        high = parts[name] / total * (total**0.5 / most * plot.tall)
        base -= high
        boxes.append(
            f'<rect x="{plot.x(value) + 0.5:.1f}" y="{base:.1f}" width="{max(plot.step - 1, 1):.1f}" '
            f'height="{high:.1f}" fill="{COLOURS[name]}">'
            f"<title>weight {value} to {value + 1}, {escape(name)}: {parts[name]:,} pairs</title></rect>"
        )
    return "".join(boxes)


def _mark(plot: _Plot, text: str, value: float, number: int) -> str:
    x, y = plot.x(value), plot.top - 10
    line = f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{plot.ground}" class="mark"/>'
    aside = (
        'end" dx="-4' if number == 0 else 'start" dx="4'
    )  # the first mark's words to its left, the other's to its right
    return f'{line}<text x="{x:.1f}" y="{y + 6:.1f}" text-anchor="{aside}">{escape(text)} {value:g}</text>'


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall: what it is of, in a few words what was found, and what it adds."""

    of: str
    found: str
    adds: float


def waterfall(steps: Sequence[Step], *, label: str) -> Markup:
    """Bars one below the other, each beginning where the one before ended; the last shows the sum of all."""
    reached = [0.0]
    for step in steps:
        reached.append(reached[-1] + step.adds)
    low, high = min(*reached, 0.0), max(*reached, 1e-9)
    plot = _Plot(0, 1, wide=420, left=300)
    scale = plot.wide / (high - low)

    def x(value: float) -> float:
        return plot.left + (value - low) * scale

    rows = [
        _bar(n, step, x(min(start, start + step.adds)), abs(step.adds) * scale, "for" if step.adds >= 0 else "against")
        for n, (step, start) in enumerate(zip(steps, reached, strict=False))
    ]
    total = Step("together", "", reached[-1])
    rows.append(_bar(len(steps), total, x(min(0.0, total.adds)), abs(total.adds) * scale, "sum"))
    tall = _ROW * (len(steps) + 1)
    zero = f'<line x1="{x(0):.1f}" y1="0" x2="{x(0):.1f}" y2="{tall}" class="axis"/>'
    return _svg("".join([*rows, zero]), int(plot.left + plot.wide + 70), tall, label, css="waterfall")


_ROW = 26


def _bar(number: int, step: Step, left: float, wide: float, colour: str) -> str:
    y = number * _ROW
    words = f"{step.of}: {step.found}" if step.found else step.of
    return (
        f'<text x="0" y="{y + 17}">{escape(words)}</text>'
        f'<rect x="{left:.1f}" y="{y + 5}" width="{max(wide, 1.0):.1f}" height="{_ROW - 10}" fill="{COLOURS[colour]}">'
        f"<title>{escape(words)}: {step.adds:+.2f}</title></rect>"
        f'<text x="{left + max(wide, 1.0) + 5:.1f}" y="{y + 17}">{step.adds:+.2f}</text>'
    )


def dots(agencies: Sequence[str], group: Sequence[str], *, label: str) -> Markup:
    """A row of dots, one an agency, filled where the agency is in the group and joined by a line."""
    places = {agency: 9 + 18 * number for number, agency in enumerate(agencies)}
    inside = [places[agency] for agency in group]
    shapes = [f'<line x1="{min(inside)}" y1="9" x2="{max(inside)}" y2="9" class="join"/>']
    for agency, x in places.items():
        filled = "in" if agency in group else "out"
        shapes.append(f'<circle cx="{x}" cy="9" r="6" class="{filled}"><title>{escape(agency)}</title></circle>')
    return _svg("".join(shapes), 18 * len(agencies), 18, label, css="dots")


def _svg(shapes: str, width: int, height: int, label: str, *, css: str) -> Markup:
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return Markup(f'<svg class="{css}" role="img" aria-label="{escape(label)}" {box}>{shapes}</svg>')
