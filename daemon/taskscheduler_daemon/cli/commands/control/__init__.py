"""Commands that say what may run now."""
