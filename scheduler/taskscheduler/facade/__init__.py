"""The methods of a scheduler, one group a file, each written once and served blocking and as a coroutine."""
