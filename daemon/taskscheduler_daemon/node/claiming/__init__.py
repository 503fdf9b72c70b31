"""Which jobs to ask for, and how a claim survives a lost answer."""
