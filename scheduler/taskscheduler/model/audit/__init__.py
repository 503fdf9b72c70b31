"""What people may do, and what is written down of it."""
