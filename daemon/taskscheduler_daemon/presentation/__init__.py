"""How jobs, nodes and times look to people; shared by command line, pages and demo."""
