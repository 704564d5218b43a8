"""The page of runs with what can be done about them; `syncmetrics`, whose page it is, knows no Canvas."""

from __future__ import annotations

from django.contrib import admin

from canvas.admin.actions import RUN_ACTIONS
from canvas.admin.exports import ExportPages
from canvas.admin.limited import LimitedAdmin
from syncmetrics.actions import ActingAdmin
from syncmetrics.admin.runs import RunAdmin
from syncmetrics.models import SyncRun

admin.site.unregister(SyncRun)


@admin.register(SyncRun)
class CanvasRunAdmin(LimitedAdmin, ExportPages, ActingAdmin, RunAdmin):
    """Runs, to be resumed and cancelled."""

    console_actions = RUN_ACTIONS
    change_form_outer_before_template = "admin/syncmetrics/run_before.html"
