"""What people have done."""
