"""The web service of JobQueue, kept compatible. REST v1 comes beside it as web/api/."""
