"""What `taskscheduler init` writes: a small project with jobs, a schedule and tests."""
