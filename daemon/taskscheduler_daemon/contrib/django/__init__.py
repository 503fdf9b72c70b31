"""Django: a backend for its task framework, `django.tasks` (Django 6) or its backport `django_tasks`.

    INSTALLED_APPS = [..., "taskscheduler_daemon.contrib.django"]
    TASKS = {
        "default": {
            "BACKEND": "taskscheduler_daemon.contrib.django.backend.TaskSchedulerBackend",
            "OPTIONS": {"uri": "mongodb://host/app", "job": {"retry": 3}},
        }
    }

`python manage.py taskscheduler node` runs a node that knows the tasks of all installed applications.
"""
