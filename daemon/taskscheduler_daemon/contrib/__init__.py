"""Helpers for web frameworks. Nothing here is imported but by the application that uses the framework."""
