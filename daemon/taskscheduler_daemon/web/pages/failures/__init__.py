"""The page of failures: one row for each mistake, with what can be done about all of its jobs."""
