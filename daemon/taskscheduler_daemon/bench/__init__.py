"""What `taskscheduler bench` measures."""
