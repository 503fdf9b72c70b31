"""What can be done to flows, one verb a file."""
