"""Helpers for web frameworks and for pytest. Nothing here is imported but by who uses the framework."""
