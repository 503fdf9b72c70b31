"""The measurements of `taskscheduler bench`, and the temporary node that runs their jobs."""
