"""What `taskscheduler demo` shows: sample jobs that do real work, on a server and a node that live as long as it."""
