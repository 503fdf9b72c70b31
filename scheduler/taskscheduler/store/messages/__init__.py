"""Messages that wake nodes: who sends them, and how those about single jobs are heard at once."""
