"""The addresses of the pages of the logs; who wires them in says who may see every line."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, path

from logmonitor import views


def urls(may_see_all: views.MaySeeAll) -> list[URLPattern]:
    """Return the patterns. `may_see_all` tells whether a person is limited to no instance."""
    every = {"may_see_all": may_see_all}
    return [
        path("files/", admin.site.admin_view(views.log_files), every, name="files"),
        path("lines/", admin.site.admin_view(views.log_lines), every, name="lines"),
    ]
