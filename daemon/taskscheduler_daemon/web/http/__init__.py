"""Access control, CSRF protection, limits on bodies, and the context that all requests share."""
