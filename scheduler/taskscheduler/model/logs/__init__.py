"""The logs of attempts: lines, and how much of them is kept. Pure."""
