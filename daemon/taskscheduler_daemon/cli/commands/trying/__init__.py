"""Commands to try the product with."""
