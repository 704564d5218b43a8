"""The console's frame: its name, and a sidebar ordered by what operators come for."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return the sidebar's link to a list, for those who may see it. `model` is `app.model`."""
    app, name = model.split(".")

    def may_view(request: HttpRequest) -> bool:
        # Here, because the settings read this module before there are apps.
        from django.apps import apps  # noqa: PLC0415
        from django.contrib import admin  # noqa: PLC0415

        return admin.site.get_model_admin(apps.get_model(app, name)).has_view_permission(request)

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": may_view,
    }


def _log_files() -> dict[str, Any]:
    """Return the sidebar's link to the log files, for those who may see every run."""

    def may_view(request: HttpRequest) -> bool:
        from canvas.access import is_unlimited  # noqa: PLC0415 - as above

        return request.user.has_perm("syncmetrics.view_syncrun") and is_unlimited(request.user)

    link = reverse_lazy("logmonitor:files")
    return {"title": "Log files", "icon": "description", "link": link, "permission": may_view}


def _transfers(title: str, icon: str, page: str) -> dict[str, Any]:
    """Return the sidebar's link to a page of transfers, for those who may see who transferred what."""

    def may_view(request: HttpRequest) -> bool:
        from canvas.access import is_unlimited  # noqa: PLC0415 - as above
        from logmonitor.transfers.views import may_see_transfers  # noqa: PLC0415

        return may_see_transfers(request, is_unlimited)

    return {"title": title, "icon": icon, "link": reverse_lazy(page), "permission": may_view}


# Functions, because the addresses of static files are known only once the settings are read.
def _style(request: HttpRequest) -> str:
    return static("easel/console.css")


def _favicon(request: HttpRequest) -> str:
    return static("easel/favicon.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Easel",
    "SITE_HEADER": "Easel",
    "SITE_SUBHEADER": "Canvas data console",
    "SITE_SYMBOL": "palette",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _favicon}],
    "SITE_URL": None,
    "STYLES": [_style],
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "config.home.fill_home",
    "SIDEBAR": {
        "navigation": [
            {
                "items": [{"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")}],
            },
            {
                "title": "Syncs",
                "items": [
                    _page("Dashboards", "monitoring", "syncmetrics.syncday"),
                    _page("Runs", "sync", "syncmetrics.syncrun"),
                    _page("Background jobs", "work_history", "syncmetrics.jobrun"),
                    _log_files(),
                    _page("Schedules", "schedule", "django_celery_beat.periodictask"),
                    _page("Incidents", "notification_important", "syncmetrics.incident"),
                    _page("Alert channels", "campaign", "syncmetrics.alertchannel"),
                    _page("Report recipients", "mail", "syncmetrics.reportrecipient"),
                    _page("Connections", "key", "canvas.connection"),
                    _page("Instances", "dns", "canvas.instance"),
                    _page("Freshness promises", "timer", "canvas.promise"),
                ],
            },
            {
                "title": "Canvas data",
                "items": [
                    _page("Courses", "school", "canvas.course"),
                    _page("Sections", "groups", "canvas.section"),
                    _page("Users", "person", "canvas.user"),
                    _page("Enrollments", "badge", "canvas.enrollment"),
                    _page("Assignment groups", "folder", "canvas.assignmentgroup"),
                    _page("Assignments", "assignment", "canvas.assignment"),
                    _page("Submissions", "task", "canvas.submission"),
                    _page("Modules", "view_list", "canvas.module"),
                    _page("Module items", "list", "canvas.moduleitem"),
                    _page("Groups", "diversity_3", "canvas.group"),
                    _page("Group categories", "workspaces", "canvas.groupcategory"),
                    _page("Group memberships", "group_add", "canvas.groupmembership"),
                    _page("Terms", "calendar_month", "canvas.term"),
                    _page("Accounts", "account_tree", "canvas.account"),
                    _page("Exports", "download", "canvas.export"),
                ],
            },
            {
                "title": "Uploaded files",
                "items": [
                    _page("Data files", "upload_file", "parselogs.datafile"),
                    _page("Parse runs", "fact_check", "parselogs.parsefilemeta"),
                    _page("Parse batches", "dynamic_feed", "parselogs.parsemeta"),
                ],
            },
            {
                "title": "Transfer server",
                "items": [
                    _transfers("Transfers", "swap_vert", "logmonitor:transfers"),
                    _transfers("Failed logins", "gpp_maybe", "logmonitor:transfer_logins"),
                    _page("Log lines", "list_alt", "logmonitor.logline"),
                    _page("Transfer logs", "folder_managed", "logmonitor.logsource"),
                ],
            },
            {
                "title": "Access to this console",
                "items": [
                    _page("People", "manage_accounts", "auth.user"),
                    _page("Roles", "group", "auth.group"),
                    _page("API tokens", "vpn_key", "syncmetrics.apitoken"),
                    _page("Recorded actions", "history", "admin.logentry"),
                    _page("Failed logins", "lock", "axes.accessattempt"),
                    _page("Logins", "login", "axes.accesslog"),
                ],
            },
        ],
    },
}
