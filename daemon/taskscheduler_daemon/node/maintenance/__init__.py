"""What every node does for the whole cluster now and then, one duty a file."""
