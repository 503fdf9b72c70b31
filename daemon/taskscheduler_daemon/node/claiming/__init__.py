"""Claims jobs: finds those to ask for, and survives lost answers."""
