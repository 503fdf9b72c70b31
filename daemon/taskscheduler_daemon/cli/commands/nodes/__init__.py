"""Commands for nodes and the cluster."""
