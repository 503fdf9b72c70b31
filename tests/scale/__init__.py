"""What stays flat when everything else grows: queries over millions of jobs, many nodes, jobs of mixed length."""
