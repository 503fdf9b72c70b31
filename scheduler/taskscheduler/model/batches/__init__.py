"""Batches: jobs of one class that run many at a time, as one call of `start`."""
