"""Writes down what people do, and refuses what they may not do."""
