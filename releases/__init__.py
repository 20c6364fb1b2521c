"""What goes out of the record: releases to recipients, aggregates, measures, and what changed between two releases."""
