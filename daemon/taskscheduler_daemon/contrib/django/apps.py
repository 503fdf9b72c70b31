"""The application for INSTALLED_APPS, which brings the command `manage.py taskscheduler`."""

from __future__ import annotations

from django.apps import AppConfig


class TaskSchedulerConfig(AppConfig):
    """Has no models, as the jobs are in MongoDB."""

    name = "taskscheduler_daemon.contrib.django"
    label = "taskscheduler"
    verbose_name = "taskscheduler"
