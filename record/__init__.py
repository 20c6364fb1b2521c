"""The published record: what is withheld, the immutable snapshot, its readers, dictionary and report."""
