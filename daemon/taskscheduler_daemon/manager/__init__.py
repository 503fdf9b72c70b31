"""The worker manager: one thread, one loop; the only process that forks workers. It never opens MongoDB."""
