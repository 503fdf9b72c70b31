"""Builds the updates that claim, end, retry, release and requeue attempts."""
