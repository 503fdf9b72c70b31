"""Programs that no node runs: `taskscheduler exec`, and the end of those that fell silent."""
