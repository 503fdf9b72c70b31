"""Stores the steps and signals of jobs, and repeats writes until they are known to be stored."""
