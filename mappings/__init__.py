"""From what an agency sends to the common schema: declarations, how they are read, and the mapping they compile to."""
