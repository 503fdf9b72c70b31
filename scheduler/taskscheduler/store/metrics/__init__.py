"""What nodes have counted, and what is counted of jobs for those who watch a cluster."""
