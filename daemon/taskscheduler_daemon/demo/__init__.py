"""The sample jobs of `taskscheduler demo`, which do real work, and the server and node that live as long as it."""
