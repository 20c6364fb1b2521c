"""What is measured, each with the command that gives it; the figures stand in README.md beside the commands."""
