"""What is counted about attempts: histograms, counts, and the steps of time that they belong to."""
