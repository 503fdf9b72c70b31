"""The pages of jobs: the list, one job, and what people do with one or with many."""
