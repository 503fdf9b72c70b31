"""Draws results: tables of jobs, progress bars, results of an operation on several jobs."""
