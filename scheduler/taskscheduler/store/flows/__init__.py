"""Stores flows, and lets jobs go on whose predecessors have ended."""
