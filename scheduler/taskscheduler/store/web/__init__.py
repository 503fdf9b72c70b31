"""What a web process reads and stores for its clients."""
