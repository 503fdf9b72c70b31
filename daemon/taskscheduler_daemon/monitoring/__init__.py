"""What nodes and the web process tell those who watch them: metrics for Prometheus, and probes."""
