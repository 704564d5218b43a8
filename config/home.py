"""The home page: what Canvas' connections hold, then what every other app has to show to this person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from canvas.admin.home import fill_home as fill_canvas
from logmonitor.models import LogSource
from logmonitor.transfers.home import panel as transfers
from parselogs.admin.home import panel as parses
from parselogs.models import ParseFileMeta
from syncmetrics.admin.panels import Panel

PANELS: tuple[tuple[type, Callable[[], Panel | None]], ...] = (
    (ParseFileMeta, parses),
    (LogSource, transfers),
)
"""A panel is for those who may see the list of its model."""


def fill_home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the person may see to the home page's context."""
    context = fill_canvas(request, context)
    panels = list(_panels(request))
    context["panels"] = panels
    context["problems"] = [
        *context.get("problems", ()),
        *(problem for panel in panels for problem in panel.problems),
    ]
    return context


def _panels(request: HttpRequest) -> Iterator[Panel]:
    for model, panel in PANELS:
        if admin.site.get_model_admin(model).has_view_permission(request) and (shown := panel()):
            yield shown
