"""A receipt as a page a person can read: all it needs is in it, and every text in it is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def page(receipt: Mapping[str, Any]) -> str:
    """The HTML of a receipt."""
    return _template().render(r=receipt)


def text(receipt: Mapping[str, Any]) -> str:
    """The receipt as lines for a terminal."""
    rows = receipt["rows"]
    lines = [
        f"{receipt['verdict'].upper()}: {receipt['says']}",
        f"{receipt['delivery']['name']!r} for {receipt['agency']}/{receipt['feed'] or '(no feed)'},"
        f" {receipt['delivery']['size']:,} bytes",
    ]
    if receipt["reason"]:
        lines.append(f"why: {receipt['reason']}; mend: {receipt['mend'] or 'ask the exchange'}")
    if rows["received"] is not None:
        kinds = ", ".join(f"{rows[kind]:,} {kind}" for kind in ("accepted", "quarantined", "duplicate", "withheld"))
        lines.append(f"{rows['received']:,} rows: {kinds}")
    for each in (each for each in receipt["reasons"] if each["reason"]):
        lines.append(f"  {each['rows']:,} {each['disposition']}: {each['reason']}; {each['mend']}")
    lines += ["; ".join(filter(None, (f"file: {f['code']}: {f['says']}", f["mend"]))) for f in receipt["of_the_file"]]
    lines += [_line(finding) for finding in receipt["findings"]]
    lines += [f"expected and not come: {each['feed']}, due {each['due']}" for each in receipt["asked_for"]["feeds"]]
    lines += [
        f"never came: {each['feed']}, number {', '.join(map(str, each['missing']))}"
        for each in receipt["asked_for"]["numbers"]
    ]
    lines += [
        f"codes to explain: {each['codes']:,} of {', '.join(each['columns'])}" for each in receipt["asked_for"]["codes"]
    ]
    return "\n".join(lines)


def _line(finding: Mapping[str, Any]) -> str:
    first = ", ".join(map(str, finding["first"]))
    more = f" and {finding['more']:,} more" if finding["more"] else ""
    of = ", ".join(finding["columns"]) or finding["element"] or "the record"
    return f"{finding['severity']}: {of}: {finding['code']} in {finding['counted_in']} {first}{more}; {finding['mend']}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["count"] = lambda number: "" if number is None else f"{number:,}"
    environment.filters["share"] = lambda part: "" if part is None else f"{100 * part:.1f} %"
    return environment.get_template("receipt.html")
