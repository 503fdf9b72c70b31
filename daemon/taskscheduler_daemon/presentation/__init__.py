"""Describes jobs, nodes and times for people; command line, pages and demo share it."""
