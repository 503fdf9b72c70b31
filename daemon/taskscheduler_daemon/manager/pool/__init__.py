"""Pure: what the manager knows of its workers and runs, and every decision made on that."""
