"""Attempts as they are stored beside their ends: what they cost, and where they are."""
