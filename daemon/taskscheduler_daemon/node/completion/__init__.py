"""What is written when an attempt has ended, and what follows."""
