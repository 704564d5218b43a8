"""Channels and reports in a real browser: a test message, and a preview whose pictures show."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from syncmetrics.models import AlertChannel
from tests.receivers import Webhook
from tests.test_browser import (  # noqa: F401 - fixtures
    browser_context_args,
    console,
    log_in,
    press,
    scheme,
    visit,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]
SHOWN = "pictures => pictures.every(one => one.complete && one.naturalWidth > 0)"


def test_a_channel_is_added_and_tried_and_a_report_previewed(console, live_server, scheme):  # noqa: F811
    with Webhook() as hook:
        log_in(console, live_server)
        visit(console, live_server, "syncmetrics_alertchannel_changelist")
        console.get_by_role("link", name="Add a channel").click()
        console.locator("#id_name").fill("Ops")
        console.locator("#id_url").fill(hook.url)
        console.get_by_role("button", name="Save", exact=True).click()
        expect(console.get_by_text("not tried")).to_be_visible()

        visit(console, live_server, "syncmetrics_alertchannel_change", AlertChannel.objects.get().pk)
        press(console, "Send a test")
        expect(console.get_by_text(re.compile("has taken it"))).to_be_visible()
        assert hook.titles == ["Test from Easel"]

    visit(console, live_server, "syncmetrics_reportrecipient_changelist")
    console.get_by_role("link", name="Preview the weekly report").click()
    frame = console.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Weekly report")).to_be_visible()
    assert frame.locator("img").count() == 2
    assert frame.locator("img").evaluate_all(SHOWN)
    expect(console.get_by_text("In brackets: the period before, and the change.")).to_be_visible()
