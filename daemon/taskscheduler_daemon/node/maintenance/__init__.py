"""The duties that every node does for the whole cluster now and then, one a file."""
