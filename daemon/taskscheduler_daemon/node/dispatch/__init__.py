"""Attempts on their way to the manager, and the reports that come back."""
