"""The filter language of command line, pages and programs: `status:failed class:Mail created:>-2h`."""
