"""The pages by which people log in and out."""
