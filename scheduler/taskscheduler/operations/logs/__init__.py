"""Reads the logs of attempts, and deletes those of jobs that are gone."""
