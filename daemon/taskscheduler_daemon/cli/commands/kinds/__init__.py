"""Commands for schedules, services and programs."""
