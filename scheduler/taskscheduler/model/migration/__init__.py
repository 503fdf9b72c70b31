"""Decides what an older database needs to become one of this version."""
