"""The web pages and the webservice: one ASGI application on a Scheduler. Needs the extra `web`."""
