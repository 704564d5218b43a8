"""The console's frame: sidebar, themed pages of other packages, dates, policy."""

from __future__ import annotations

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import reverse
from unfold.admin import ModelAdmin

from config.admin import THEMED
from tests.console import client_of, staff, text_of

pytestmark = pytest.mark.django_db


def sidebar(user):
    response = client_of(user).get(reverse("admin:index"))
    groups = response.context["sidebar_navigation"]
    return {
        str(item["title"]): str(item["link"])
        for group in groups
        for item in group["items"]
        if item["has_permission"]
    }


def test_every_sidebar_link_leads_to_a_page():
    root = staff("root", superuser=True)
    client = client_of(root)
    links = sidebar(root)

    assert {"Home", "Runs", "Connections", "Courses", "Submissions", "People"} <= set(links)
    for link in links.values():
        assert client.get(link).status_code == 200


def test_the_sidebar_shows_what_one_may_see():
    assert set(sidebar(staff("nobody"))) == {"Home"}
    seen = set(sidebar(staff("viewer", "view_course", "view_syncrun")))
    assert seen == {"Home", "Runs", "Courses", "API tokens", "Log files"}


def test_every_page_wears_the_theme():
    bare = [model for model, pages in admin.site._registry.items() if not isinstance(pages, ModelAdmin)]

    assert bare == []
    assert {User, Group, AccessAttempt, AccessLog} <= set(THEMED)


def test_people_of_the_console_can_be_added():
    client = client_of(staff("root", superuser=True))
    password = "a long and unusual phrase"
    response = client.post(
        reverse("admin:auth_user_add"),
        {"username": "ada", "password1": password, "password2": password, "usable_password": "true"},
    )

    assert response.status_code == 302
    assert User.objects.get(username="ada").check_password(password)


def test_the_browser_is_told_to_load_nothing_from_elsewhere(client):
    policy = client.get(reverse("admin:login"))["Content-Security-Policy"]

    for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'self'", "form-action 'self'"):
        assert part in policy
    assert "http" not in policy


def test_times_are_shown_with_their_zone():
    AccessLog.objects.create(username="ada", path_info="/admin/login/")
    AccessLog.objects.update(attempt_time="2026-02-03T04:05:06Z")
    client = client_of(staff("root", superuser=True))

    assert "2026-02-03 04:05 UTC" in text_of(client.get(reverse("admin:axes_accesslog_changelist")))
