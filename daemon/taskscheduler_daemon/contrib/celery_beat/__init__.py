"""Celery: reads a `beat_schedule` and writes the calls that add the same schedules here.

Nothing here imports Celery. The application that the command line names may do so.
"""
