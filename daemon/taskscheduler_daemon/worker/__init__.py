"""The worker process: takes one run after another, executes it, reports its end."""
