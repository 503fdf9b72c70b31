"""Moments: each brings about what a mechanism was made for."""
