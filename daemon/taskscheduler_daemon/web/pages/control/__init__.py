"""The pages of what may run now."""
