"""The codes by which mapping names what it met in a value, and how grave each one is."""

from __future__ import annotations

from store.extracts import Severity

PROBLEMS: dict[str, Severity] = {
    "blank_required": Severity.ERROR,
    "unparsable_date": Severity.WARNING,
    "unparsable_number": Severity.WARNING,
    "unparsable_boolean": Severity.WARNING,
    "sentinel_date": Severity.NOTE,
    "future_date": Severity.WARNING,
    "placeholder_value": Severity.NOTE,
    "unmapped_code": Severity.WARNING,
    "not_applied_code": Severity.WARNING,
    "bad_identifier": Severity.WARNING,
    "damaged_identifier": Severity.WARNING,
    "damaged_text": Severity.WARNING,
    "repaired_identifier": Severity.NOTE,
    "repaired_excel_date": Severity.NOTE,
    "repaired_text": Severity.NOTE,
    "replaced_bytes": Severity.WARNING,
    "too_long": Severity.WARNING,
}
"""Problem code -> severity where the feed declares no other and the element is not required."""

NULLING = frozenset(PROBLEMS) - {
    "bad_identifier", "repaired_identifier", "repaired_excel_date", "repaired_text", "replaced_bytes", "too_long",
}  # fmt: skip
"""Problems that leave the element empty; where the element is required such a problem is an error.

`bad_identifier` leaves an SSN or telephone empty and keeps any other identifier as sent.
"""
