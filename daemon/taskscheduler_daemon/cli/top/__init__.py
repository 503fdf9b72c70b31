"""What `taskscheduler top` shows and does: a snapshot, the state of the screen, drawing, the terminal, and the loop."""
