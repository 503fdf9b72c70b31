"""The worker manager: one thread, one loop; the only one that forks workers. Never opens MongoDB."""
