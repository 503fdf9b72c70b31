"""Adds jobs and schedules in a transaction of the application: they exist exactly if it commits."""
