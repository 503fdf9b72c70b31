"""The webservice and the pages on jobs: one ASGI application on a Scheduler. Needs the extra `web`."""
