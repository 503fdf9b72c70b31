"""Who may use the web pages: a token for all, a file of users, or a proxy that says who it is."""
