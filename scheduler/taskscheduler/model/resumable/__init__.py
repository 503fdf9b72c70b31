"""What makes a job resumable: its steps, and the signals that it waits for."""
