"""The asyncio twin: the same calls as coroutines, on top of the blocking ones."""
