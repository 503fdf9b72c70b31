"""What a flow is: jobs, what each comes after, and what it takes from them. Pure values and rules."""
