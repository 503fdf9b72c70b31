"""The output of jobs on its way from the pipes of workers to the database."""
