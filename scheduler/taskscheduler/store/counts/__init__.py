"""Counts jobs for people, each count up to a limit, by the keys of indexes."""
