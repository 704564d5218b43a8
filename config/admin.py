"""Puts the pages of other packages' models into the console's theme.

They live here because `config` is the one package that may know all others; it is an installed app, the
last one, so that those packages have registered theirs before.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry

from config import access_pages, job_pages, parse_pages, schedule_pages, token_pages, transfer_pages
from logmonitor.models import LogLine
from syncmetrics.models import ApiToken, JobRun

THEMED: dict[type, type[admin.ModelAdmin[Any]]] = {**access_pages.PAGES, **schedule_pages.PAGES}

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
