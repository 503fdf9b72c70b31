"""Moves an older database to this version: one class for each step of `model/migration/steps.py`."""
