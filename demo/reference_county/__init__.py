"""The reference county: its agencies served as in life, every night run, every count held against the truth."""
