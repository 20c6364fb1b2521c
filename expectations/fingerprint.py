"""The fingerprint of all declarations that decide what becomes of a feed's rows when they are mapped and checked."""

from __future__ import annotations

import hashlib
import json

from expectations.suites import expectations_of
from mappings.declarations import Feed
from mappings.layouts import Layout
from mappings.load import Agency

_WITHOUT_EFFECT = {"title", "source", "arrives", "unused_columns"}
"""What a feed says for people, and of where and when it comes from."""


def fingerprint_of(agency: Agency, feed: Feed) -> str:
    """A short hash over a feed's declaration, its crosswalks and layout, and the suites of its entities.

    Comments, order of lines and layout of the YAML do not count, nor do titles, sources and schedules, nor what only
    says a default: a key that a later version of the exchange knows changes nothing where it is not used.
    """
    crosswalks = {element.code.crosswalk for element in feed.elements.values() if element.code is not None}
    told = {
        "feed": feed.model_dump(mode="json", by_alias=True, exclude=_WITHOUT_EFFECT, exclude_defaults=True),
        "table": [feed.arrives.table, feed.arrives.watermark, feed.arrives.census],
        "unused": sorted(feed.unused_columns),
        "crosswalks": {
            name: [(e.scope, e.value, e.common, e.match, str(e.valid_from), str(e.valid_to)) for e in found.entries]
            for name, found in agency.crosswalks.items()
            if name in crosswalks
        },
        "layout": _layout_of(agency.layouts[feed.format.layout]) if feed.format.layout else [],
        **({"earlier": [
            _layout_of(agency.layouts[each.format.layout]) for each in feed.earlier if each.format.layout
        ]} if feed.earlier else {}),
        "suites": {
            entity: [
                expectation.model_dump(mode="json", exclude={"mend"}, exclude_defaults=True)
                for expectation in expectations_of(entity)
            ]
            for entity in sorted(feed.entities)
        },
    }  # fmt: skip
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _layout_of(layout: Layout) -> list[tuple[object, ...]]:
    """What decides how a line is cut, and what makes it a record of which type."""
    fields = [(f.name, f.start, f.end, *filter(None, (f.record, f.must_be))) for f in layout.fields]
    return [*fields, *((record.name, record.least, record.most) for record in layout.records if record.least)]
