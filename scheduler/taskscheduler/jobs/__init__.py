"""What users write, and how one attempt of it is executed."""
