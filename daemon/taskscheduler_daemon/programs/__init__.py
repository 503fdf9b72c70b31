"""Programs that no node runs: `taskscheduler exec`, and the end of programs that fell silent."""
