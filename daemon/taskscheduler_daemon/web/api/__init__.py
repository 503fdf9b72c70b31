"""The web service for programs, `/api/v1`."""
