"""The page of nodes: each with its workers, and what they do now."""
