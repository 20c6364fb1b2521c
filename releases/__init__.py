"""What goes out of the record: releases to recipients, aggregates, measures, and what changed between two releases."""

from releases.reader import Release, open_release

__all__ = ["Release", "open_release"]
