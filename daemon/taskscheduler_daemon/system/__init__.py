"""The operating system: fork, kill, wait, signals, limits, /proc, pidfiles. Nothing here knows what a job is."""
