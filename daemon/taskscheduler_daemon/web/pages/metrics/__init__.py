"""The page of metrics: throughput, waiting and running times of all jobs, one class or one queue."""
