"""What crosses a process border: messages, their bytes, and the channels that carry them."""
