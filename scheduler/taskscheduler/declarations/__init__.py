"""What may run here and what it takes: the registry, and the signatures and types of jobs."""
