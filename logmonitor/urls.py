"""The addresses of the pages of the logs; who wires them in says who may see every line."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, path

from logmonitor import views
from logmonitor.transfers import views as transfers


def urls(may_see_all: views.MaySeeAll) -> list[URLPattern]:
    """Return the patterns. `may_see_all` tells whether a person is limited to no instance."""
    every = {"may_see_all": may_see_all}
    return [
        path("files/", admin.site.admin_view(views.log_files), every, name="files"),
        path("lines/", admin.site.admin_view(views.log_lines), every, name="lines"),
        path("transfers/", admin.site.admin_view(transfers.charts), every, name="transfers"),
        path("transfer-users/", admin.site.admin_view(transfers.users), every, name="transfer_users"),
        path("transfer-logins/", admin.site.admin_view(transfers.logins), every, name="transfer_logins"),
        path(
            "transfer-sessions/<int:pk>/",
            admin.site.admin_view(transfers.session),
            every,
            name="transfer_session",
        ),
        path(
            "transfers/<slug:table>.<slug:ending>",
            admin.site.admin_view(transfers.export),
            every,
            name="transfer_export",
        ),
    ]
