"""What several commands read from a database."""
