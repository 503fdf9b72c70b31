"""Live data for pages and programs: one change stream for all clients of a web process."""
