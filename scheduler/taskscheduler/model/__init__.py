"""What a job is: pure values and rules. No MongoDB, no process, no clock of its own."""
