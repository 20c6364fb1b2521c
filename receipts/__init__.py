"""The answer to each delivery: what was taken, what not, on which line and why, and what is still asked for."""
