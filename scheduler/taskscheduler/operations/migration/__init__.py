"""Moves an older database to this version."""
