"""Defines indexes of the jobs."""
