"""What the manager knows of its workers and runs, and every decision made on that; no processes, no threads."""
