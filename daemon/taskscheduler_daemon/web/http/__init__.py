"""What every request passes: access control, CSRF protection, limits on bodies, the shared context."""
