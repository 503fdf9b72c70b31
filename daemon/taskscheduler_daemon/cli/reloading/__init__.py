"""`taskscheduler dev --reload`: runs the node and the pages anew when the code of the jobs changes."""
