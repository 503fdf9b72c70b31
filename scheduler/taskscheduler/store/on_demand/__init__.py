"""Indexes of jobs that are made with the first job that needs them, so that others cost no write anything."""
