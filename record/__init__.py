"""The published record: what is withheld, the immutable snapshot, its readers, dictionary and report."""

from record.reader import Record, open_record

__all__ = ["Record", "open_record"]
