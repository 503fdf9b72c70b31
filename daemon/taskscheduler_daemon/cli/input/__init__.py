"""How values on the command line are read."""
