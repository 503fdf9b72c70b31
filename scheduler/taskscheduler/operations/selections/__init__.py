"""What can be done to many jobs at once, one verb a file: in batches, as safe as one by one, safe to repeat."""
