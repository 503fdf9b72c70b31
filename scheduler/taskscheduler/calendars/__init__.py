"""When a schedule runs: cron expressions, intervals, recurrence rules, time zones. Knows no database and no clock."""
