"""Benchmarks: not collected by pytest; `.venv/bin/python -m tests.benchmarks --help`."""
