"""Files and logs in a real browser: uploading, following a run, reading its log, what the policy forbids."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from parselogs.models import ParseFileMeta
from parselogs.parsing import perform
from parselogs.runlog import run_log
from parselogs.runs import claim
from sandbox.sis_files import write_sis_zip
from tests.console import PASSWORD, staff
from tests.parselogs.files import again, parsed, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite]


@pytest.fixture
def console(page: Page, live_server) -> Iterator[Page]:
    """A page of somebody who has logged in, whose browser may complain of nothing."""
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    staff("root", superuser=True)
    page.goto(live_server.url + reverse("admin:login"))
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    yield page
    assert complaints == []


def visit(page: Page, live_server, name: str, *args: object) -> None:
    page.goto(f"{live_server.url}{reverse(f'admin:parselogs_{name}', args=args)}")


def test_an_upload_is_found_out_about(console, live_server, redis, tmp_path: Path):
    archive = tmp_path / "autumn.zip"
    write_sis_zip(archive)
    visit(console, live_server, "datafile_changelist")
    console.get_by_role("link", name="Upload a file").click()
    console.locator("input[type=file]").set_input_files(archive)
    console.get_by_role("button", name="Upload", exact=True).click()
    expect(console.get_by_text("autumn.zip was uploaded and is parsed in the background.")).to_be_visible()
    expect(console.get_by_text("Queued").first).to_be_visible()

    perform(ParseFileMeta.objects.get().uuid)
    expect(console.get_by_text("Succeeded with errors").first).to_be_visible()
    console.get_by_role("link", name="Attempt 1").first.click()
    expect(console.get_by_text("status must be one of active, suspended, deleted.").first).to_be_visible()
    expect(console.get_by_text("Correct it; case does not matter, spelling does.").first).to_be_visible()

    console.get_by_role("link", name=re.compile("Log$")).click()
    expect(console.get_by_text("Ended: succeeded_with_errors")).to_be_in_viewport()
    console.get_by_label("From level").select_option("ERROR")
    console.get_by_role("button", name="Show").click()
    expect(console.get_by_text("value_not_allowed in users.csv")).to_be_visible()
    expect(console.get_by_text("Ended: succeeded_with_errors")).to_have_count(0)
    with console.expect_download() as download:
        console.get_by_role("link", name=re.compile("Download$")).click()
    run = ParseFileMeta.objects.get()
    assert download.value.suggested_filename == f"autumn-{run.data_file_id}-attempt-0001.log"


def test_a_file_that_is_too_large_is_not_sent(console, live_server, settings, tmp_path: Path):
    settings.UPLOAD_MEGABYTES = 0.001
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    large.write_bytes(b"x" * 5_000)
    small.write_bytes(b"x" * 500)
    sent: list[str] = []
    console.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    visit(console, live_server, "datafile_add")
    console.locator("input[type=file]").set_input_files(large)
    expect(console.get_by_role("alert")).to_contain_text("The file is larger than")
    console.get_by_role("button", name="Upload", exact=True).click()
    console.locator("input[type=file]").set_input_files(small)
    expect(console.get_by_role("alert")).to_be_empty()
    assert sent == []


def test_the_log_of_a_run_at_work_grows_and_ends(console, live_server):
    log = logging.getLogger("parselogs.tests")
    run = claim(upload().uuid)
    assert run
    with run_log(run.uuid):
        log.info("The first line")
        visit(console, live_server, "parsefilemeta_log", run.uuid)
        expect(console.get_by_text("The first line")).to_be_visible()
        log.warning("A later line, with <b>mark-up</b>")
        expect(console.get_by_text("A later line, with <b>mark-up</b>")).to_be_visible()
        ParseFileMeta.objects.filter(pk=run.pk).update(state="failed", finished_at=run.queued_at)
        expect(console.get_by_text("Failed", exact=True)).to_be_visible()


def test_two_runs_are_compared_and_files_reparsed(console, live_server, redis):
    run = parsed(upload())
    second = parsed(again(run.data_file))
    visit(console, live_server, "parsefilemeta_change", second.pk)
    console.get_by_role("link", name="Compare with the run before").click()
    expect(console.get_by_text("0 new, 0 gone, 1 the same.")).to_be_visible()

    visit(console, live_server, "datafile_changelist")
    console.get_by_role("link", name="Reparse many").click()
    console.get_by_role("button", name="Count the files").click()
    console.get_by_role("button", name="Reparse 1 file").click()
    expect(console.get_by_text("0 of 1 done").first).to_be_visible()
    perform(ParseFileMeta.objects.latest("pk").uuid)
    expect(console.get_by_role("link", name="Download all logs")).to_be_visible()
