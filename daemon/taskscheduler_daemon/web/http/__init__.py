"""What every request meets first: access, forgery, bodies, the shared context."""
