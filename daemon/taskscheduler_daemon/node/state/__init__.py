"""The state that the threads of a node share: attempts in flight, capacity, the lease."""
