"""What can be done to jobs, one verb a file, on an open store. Library and node share them."""
