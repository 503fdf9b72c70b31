"""A cluster of real processes under faults, and a checker that decides from what they wrote down."""
