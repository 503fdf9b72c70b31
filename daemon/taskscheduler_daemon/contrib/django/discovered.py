"""The tasks of all installed applications, as a job module: `--jobs taskscheduler_daemon.contrib.django.discovered`.

Needs DJANGO_SETTINGS_MODULE; `manage.py taskscheduler` sets both.
"""

from __future__ import annotations

import django
from django.apps import apps
from django.utils.module_loading import autodiscover_modules

if not apps.ready:
    django.setup()
autodiscover_modules("tasks")
