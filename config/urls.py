"""Every URL of the console."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from canvas.access import is_unlimited
from config import api
from config.health import healthz
from config.prometheus import metrics
from logmonitor.urls import urls as log_urls

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/logmonitor/", include((log_urls(is_unlimited), "logmonitor"))),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("api/", include((api.urls(), "api"))),
]
