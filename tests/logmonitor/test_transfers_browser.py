"""The charts of transfers in a real browser: drawn, filtered, followed live, paused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.logmonitor.transfers import line_of, make_source, store
from tests.test_browser import browser_context_args, console, log_in, scheme  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]


@pytest.fixture
def source():
    """A fortnight of three people's transfers, with a day of much more, and a day of nothing."""
    source = make_source()
    now = datetime.now(UTC)
    lines = [
        line_of(
            source,
            now - timedelta(days=day, minutes=n),
            username=user,
            protocol=protocol,
            sender="Download" if (day + n) % 3 else "Upload",
            size_bytes=size * (n + 1),
        )
        for day in range(60)
        if day != 5
        for n in range(4)
        for user, protocol, size in (("ann", "SFTP", 2_000_000), ("bob", "DAV", 70_000), ("zoë", "FTP", 900))
    ]
    store([*lines, line_of(source, now - timedelta(days=3), username="bob", size_bytes=10**11)])
    return source


def open_charts(page: Page, live_server, query: str = "") -> None:
    page.goto(f"{live_server.url}{reverse('logmonitor:transfers')}{query}")
    page.wait_for_load_state("networkidle")


def inked(page: Page, name: str) -> int:
    """Return how many points of a chart are drawn on."""
    return page.evaluate(
        """name => {
            const canvas = document.querySelector(`canvas[data-drawing="chart-${name}"]`);
            const points = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            return points.filter((value, place) => place % 4 === 3 && value).length;
        }""",
        name,
    )


def test_charts_are_drawn_and_filtered(console, live_server, source, scheme):  # noqa: F811
    log_in(console, live_server)
    open_charts(console, live_server)

    for name in ("transfers", "bytes", "average", "days", "day-bytes"):
        assert inked(console, name) > 2_000, name
    console.locator("#bytes summary").click()
    expect(console.locator("#bytes-table tbody tr").first).to_contain_text("bob")
    console.locator("#day-bytes summary").click()
    expect(console.locator("#day-bytes-table")).to_contain_text("uploads unusually high")

    console.get_by_label("Protocol").select_option("FTP")
    console.get_by_label("Direction").select_option("Uploads")
    console.get_by_role("button", name="Show").click()
    console.wait_for_url("**protocol=FTP**")
    expect(console.locator("#transfers-table tbody tr")).to_have_count(1)
    assert "direction=upload" in console.url
    console.locator("#transfers summary").click()
    expect(console.locator("#transfers-table tbody tr")).to_contain_text("zoë")
    expect(console.locator("#transfers-table thead")).not_to_contain_text("Downloads")

    console.locator("#transfers-table tbody a").click()
    expect(console.get_by_label("User", exact=True)).to_have_value("zoë")
    console.get_by_role("link", name="Users: since when").click()
    expect(console.get_by_text("1 user moved something")).to_be_visible()
    console.goto(f"{live_server.url}{reverse('logmonitor:transfer_logins')}")
    console.wait_for_load_state("networkidle")
    assert inked(console, "failures") > 1_000


def test_live_shows_what_comes_and_pause_stops_it(console, live_server, source):  # noqa: F811
    log_in(console, live_server)
    open_charts(console, live_server)
    console.locator("#transfers summary").click()
    console.get_by_role("button", name="Follow live").click()
    expect(console.get_by_text("Follows, every")).to_be_visible()
    assert "live=1" in console.url

    store([line_of(source, datetime.now(UTC), username="newcomer")])
    expect(console.locator("#transfers-table")).to_contain_text("newcomer")
    drawn = console.evaluate("JSON.parse(document.getElementById('chart-transfers').textContent).labels")
    assert "newcomer" in drawn

    console.get_by_role("button", name="Pause").click()
    expect(console.get_by_text("Paused.")).to_be_visible()
    assert "live=1" not in console.url
    store([line_of(source, datetime.now(UTC), username="latecomer")])
    console.wait_for_timeout(6_000)
    expect(console.locator("#transfers-table")).not_to_contain_text("latecomer")


def test_a_transfer_leads_to_its_session_and_back_to_its_line(console, live_server, source):  # noqa: F811
    log_in(console, live_server)
    open_charts(console, live_server)
    console.get_by_role("link", name="All lines").click()
    console.locator("#result_list a[href*='/transfer-sessions/']").first.click()
    expect(console.get_by_role("heading", name="Session SFTP_1_1")).to_be_visible()
    console.locator("table a").first.click()
    expect(console.get_by_text("Where it stands")).to_be_visible()
