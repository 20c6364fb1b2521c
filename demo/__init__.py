"""A synthetic county with known truth: its people, the agencies' extracts, and the servers they come from."""
