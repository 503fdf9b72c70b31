"""Commands that add jobs and show them."""
