"""The console in a real browser: nothing against the policy, nothing from elsewhere, what people click."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from canvas.models import Connection, Course, Submission
from sandbox.server import Sandbox
from syncmetrics.models import SyncRun, SyncStep
from tests.console import PASSWORD, staff
from tests.factories import ConnectionFactory, CourseFactory, SubmissionFactory, TermFactory

# What a browser sees does not depend on the database; what the pages ask of it is tested on both elsewhere.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]


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


def log_in(page: Page, live_server, name: str = "root") -> None:
    """Log in as a superuser, or as somebody who is there already."""
    if name == "root":
        staff("root", superuser=True)
    page.goto(live_server.url + reverse("admin:login"))
    page.get_by_label("Username").fill(name)
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
    visit(console, live_server, "syncmetrics_syncday_changelist")
    expect(console.get_by_text("No sync is running.")).to_be_visible()
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


# --- operating ------------------------------------------------------------------------------------


@pytest.fixture
def canvas() -> Iterator[Sandbox]:
    """A sandbox Canvas."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def operator(transactional_db) -> None:
    """Somebody with the role Operator, and somebody with the role Viewer."""
    staff("olga").groups.set(Group.objects.filter(name="Operator"))
    staff("vera").groups.set(Group.objects.filter(name="Viewer"))


def press(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).click()


@pytest.mark.timeout(400)
def test_an_operator_connects_syncs_finds_out_why_it_failed_and_resumes(
    console, live_server, canvas, operator, background
):
    background.start("worker")
    log_in(console, live_server, "olga")
    connect_in_the_console(console, live_server, canvas)
    watch_a_sync_to_its_end(console, canvas)
    see_in_two_clicks_why_it_fails(console, live_server, canvas)

    canvas.set_faults()
    press(console, "Resume")
    expect(console.get_by_text(re.compile("is queued"))).to_be_visible()
    expect(console.get_by_text("Completed", exact=True).first).to_be_visible()
    assert SyncRun.objects.latest("pk").resumed_from.sync_status in ("failed", "partial")


def connect_in_the_console(page: Page, live_server, canvas: Sandbox) -> None:
    visit(page, live_server, "canvas_connection_changelist")
    page.get_by_role("link", name="Connect a Canvas").click()
    page.locator("#id_name").fill("prod")
    page.locator("#id_base_url").fill(canvas.url)
    page.locator("#id_token").fill(canvas.token)
    press(page, "Connect a Canvas")
    expect(page.get_by_text(re.compile(f"Connected prod to {canvas.url}"))).to_be_visible()
    assert canvas.token not in page.content()


def watch_a_sync_to_its_end(page: Page, canvas: Sandbox) -> None:
    """Canvas is too slow for the sync to end before its progress was seen, and fast from then on."""
    canvas.set(latency_ms=3000)
    page.get_by_role("link", name="Sync now").click()
    page.get_by_label("Only these courses").fill("101 102")
    press(page, "Sync now")
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("of 2 courses")
    expect(progress).to_contain_text("At work: ")
    canvas.set(latency_ms=0)
    expect(progress).to_be_hidden()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    assert SyncRun.objects.get().sync_status == SyncRun.Status.COMPLETED


def see_in_two_clicks_why_it_fails(page: Page, live_server, canvas: Sandbox) -> None:
    """From the home page: the failed run, which says why, and its lines in the log of errors."""
    canvas.set_faults("forbidden@courses/101/sections")
    visit(page, live_server, "canvas_connection_change", Connection.objects.get().pk)
    page.get_by_role("link", name="Sync now").click()
    page.get_by_label("Only these courses").fill("101 102")
    press(page, "Sync now")
    expect(page.get_by_text("Partial", exact=True).first).to_be_visible()

    page.get_by_role("link", name="Home").click()
    page.get_by_role("link", name=f"Run {SyncRun.objects.latest('pk').pk}").first.click()
    expect(page.get_by_text(re.compile("1 of . steps failed")).first).to_be_visible()

    page.get_by_role("link", name="errors", exact=True).click()
    expect(page.get_by_text("NotPermitted").first).to_be_visible()
    page.go_back()


def test_a_viewer_has_no_buttons(console, live_server, data, operator):
    log_in(console, live_server, "vera")
    connection, course = Connection.objects.get(), Course.objects.get()
    SyncRun.objects.update(sync_status="failed")
    for name, key in (
        ("canvas_connection_change", connection.pk),
        ("syncmetrics_syncrun_change", data.pk),
        ("canvas_course_change", course.pk),
    ):
        visit(console, live_server, name, key)
        for title in ("Sync now", "Test connection", "Replace token", "Resume", "Sync this course now"):
            expect(console.get_by_text(title, exact=True)).to_have_count(0)
    visit(console, live_server, "canvas_connection_changelist")
    expect(console.get_by_role("link", name="Connect a Canvas")).to_have_count(0)


def test_a_viewers_forged_post_is_refused(page, live_server, data, operator):
    log_in(page, live_server, "vera")
    address = live_server.url + reverse("admin:canvas_connection_sync", args=[data.connection_key])
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    forged = page.request.post(address, form={"csrfmiddlewaretoken": token}, headers={"Referer": address})

    assert forged.status == 403
    assert SyncRun.objects.count() == 1


def test_schedules_are_added_without_knowing_celery(console, live_server, data):
    log_in(console, live_server)
    visit(console, live_server, "django_celery_beat_periodictask_changelist")
    console.get_by_role("link", name="Add a schedule").click()
    console.get_by_label("How often").select_option("Daily")
    console.get_by_label("Daily at").fill("03:00")
    console.get_by_label("Time zone").select_option("Europe/Vienna")
    press(console, "Add a schedule")

    row = console.locator("#result_list tbody tr", has_text="daily at 03:00 Europe/Vienna").first
    expect(row).to_contain_text("prod")
    expect(row).to_contain_text("on")
