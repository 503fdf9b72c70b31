"""Reads values from the command line: options of a node, ids, job modules, confirmations."""
