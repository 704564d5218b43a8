"""Puts the pages of other packages' models into the console's theme.

They live here because `config` is the one package that may know all others; it is an installed app, the
last one, so that those packages have registered theirs before.
"""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django_celery_beat.models import PeriodicTask

from config import access_pages, job_pages, parse_pages, schedule_pages, token_pages, transfer_pages
from logmonitor.models import LogLine
from syncmetrics.models import ApiToken, JobRun

THEMED: dict[type, type[admin.ModelAdmin[Any]]] = {**access_pages.PAGES, **schedule_pages.PAGES}

NAMES: dict[type[Any], tuple[str, str]] = {
    PeriodicTask: ("schedule", "schedules"),
    User: ("person", "people"),
    Group: ("role", "roles"),
    LogEntry: ("recorded action", "recorded actions"),
    AccessAttempt: ("failed login", "failed logins"),
    AccessLog: ("login", "logins"),
}
"""What other packages' tables are called here: as in the sidebar. Migrations take no notice of it."""

APP_NAMES = {"django_celery_beat": "Syncs", "auth": "Access", "axes": "Access", "admin": "Access"}

for _model, (_one, _many) in NAMES.items():
    _model._meta.verbose_name, _model._meta.verbose_name_plural = _one, _many
for _label, _name in APP_NAMES.items():
    apps.get_app_config(_label).verbose_name = _name
for _model in schedule_pages.HIDDEN:
    admin.site.unregister(_model)
for _model, _pages in THEMED.items():
    admin.site.unregister(_model)
    admin.site.register(_model, _pages)
for _model, _pages in parse_pages.PAGES.items():
    admin.site.register(_model, _pages)
for _model, _pages in transfer_pages.SOURCE_PAGES.items():
    admin.site.register(_model, _pages)
admin.site.register(JobRun, job_pages.LimitedJobAdmin)
admin.site.register(ApiToken, token_pages.TokenAdmin)
admin.site.register(LogEntry, access_pages.RecordAdmin)
admin.site.register(LogLine, transfer_pages.LimitedLineAdmin)
