"""The console in a real browser: nothing against the policy, nothing from elsewhere, what people click."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from canvas.models import Course, Submission
from syncmetrics.models import SyncRun, SyncStep
from tests.console import PASSWORD, staff
from tests.factories import ConnectionFactory, CourseFactory, SubmissionFactory, TermFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, object], request: pytest.FixtureRequest):
    chosen = request.getfixturevalue("scheme") if "scheme" in request.fixturenames else "light"
    return {**browser_context_args, "color_scheme": chosen}


@pytest.fixture
def console(page: Page, live_server) -> Iterator[Page]:
    """A page whose browser may complain of nothing and ask no other host, checked at the end."""
    complaints: list[str] = []

    def watch_request(asked) -> None:
        if not asked.url.startswith((live_server.url, "data:", "blob:")):
            complaints.append(f"asked {asked.url}")

    def watch_response(answer) -> None:
        if answer.status >= 400:
            complaints.append(f"{answer.status} {answer.url}")

    def watch_console(message) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("request", watch_request)
    page.on("response", watch_response)
    page.on("console", watch_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


@pytest.fixture
def data() -> SyncRun:
    """A small copy of Canvas, and a run with more steps than one page holds."""
    connection = ConnectionFactory(name="prod")
    instance = connection.instance
    term = TermFactory(instance=instance, name="Spring")
    course = CourseFactory(instance=instance, name="Compilers", enrollment_term=term)
    SubmissionFactory(instance=instance, course=course)
    SubmissionFactory(instance=instance)
    now = timezone.now()
    run = SyncRun.objects.create(
        connection_key=connection.pk,
        connection_name="prod",
        instance_key=instance.pk,
        sync_status="completed",
        sync_end_time=now,
        total_duration_seconds=3,
    )
    run.counts.create(entity="courses", processed=1, created=1)
    SyncStep.objects.bulk_create(
        SyncStep(run=run, key=str(n), title=f"Course no. {n}.", position=n, state="completed")
        for n in range(60)
    )
    return run


def log_in(page: Page, live_server) -> None:
    staff("root", superuser=True)
    page.goto(live_server.url + reverse("admin:login"))
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def visit(page: Page, live_server, name: str, *args: object, query: str = "") -> None:
    page.goto(f"{live_server.url}{reverse(f'admin:{name}', args=args)}{query}")
    page.wait_for_load_state("networkidle")


def test_no_page_breaks_the_policy_or_asks_another_host(console, live_server, data, scheme):
    log_in(console, live_server)

    expect(console.get_by_text("Everything is fine")).to_be_visible()
    visit(console, live_server, "syncmetrics_syncrun_change", data.pk)
    visit(console, live_server, "syncmetrics_syncrun_changelist")
    visit(console, live_server, "canvas_course_changelist")
    visit(console, live_server, "canvas_course_change", Course.objects.get().pk)
    visit(console, live_server, "canvas_connection_change", data.connection_key)
    classes = console.locator("html").get_attribute("class") or ""
    assert ("dark" in classes) is (scheme == "dark")


def test_the_policy_is_in_force(page, live_server):
    """What the test above relies on: a browser that breaks the policy complains."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(live_server.url + reverse("admin:login"))
    page.evaluate("document.body.appendChild(document.createElement('script')).text = 'window.broken = 1'")

    assert page.evaluate("window.broken") is None
    assert any("Content Security Policy" in complaint for complaint in complaints)


def test_steps_are_paged_through(console, live_server, data):
    log_in(console, live_server)
    visit(console, live_server, "syncmetrics_syncrun_change", data.pk)
    expect(console.get_by_text("Course no. 1.", exact=True)).to_be_visible()
    expect(console.get_by_text("Course no. 55.", exact=True)).to_be_hidden()

    console.get_by_role("navigation", name="Pages of steps").get_by_role("link", name="2").click()
    expect(console.get_by_text("Course no. 55.", exact=True)).to_be_visible()


def test_a_filter_finds_a_course_by_its_name(console, live_server, data):
    log_in(console, live_server)
    visit(console, live_server, "canvas_submission_changelist")
    expect(console.locator("#result_list tbody tr")).to_have_count(2)

    console.locator("a", has_text="Filters").click()
    console.locator(".select2-selection").nth(2).click()
    console.keyboard.type("Comp")
    console.locator(".select2-results__option", has_text="Compilers").click()
    console.get_by_role("button", name="Apply Filters").click()

    expect(console.locator("#result_list tbody tr")).to_have_count(1)
    course = Course.objects.get()
    assert f"course__id__exact={course.pk}" in console.url
    assert Submission.objects.filter(course=course).count() == 1
