"""The queue node: the only process that claims jobs and writes their ends."""
