"""The first page: what is wrong, how much there is, and what runs now."""
