"""The webservice of JobQueue: its routes, bodies and errors."""
