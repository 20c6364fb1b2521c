"""The published record: what is withheld, the immutable snapshot, its readers, dictionary and report."""

from record.persons import PersonAsOf, person_as_of
from record.reader import Record, open_record

__all__ = ["PersonAsOf", "Record", "open_record", "person_as_of"]
