"""Finds the jobs that many changes are meant for, and writes those changes in batches."""
