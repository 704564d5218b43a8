"""Parsing files again: which can be, as one batch, from the console and by the command; nothing is lost."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.urls import reverse

from parselogs import reparse as reparsing
from parselogs.models import DataFile, ParseFileMeta, ParseMeta
from parselogs.reparse import NothingToReparse, Scope, TooManyFiles, plan, progress_of, reparse
from tests.console import client_of, person, text_of
from tests.parselogs.files import again, log_of, parsed, upload, users
from tests.workers import waiting

pytestmark = pytest.mark.django_db

MANY = "admin:parselogs_datafile_reparse_many"


@pytest.fixture
def client():
    return client_of(person("olga", "Operator"))


def do_all(batch: ParseMeta) -> None:
    """Do the runs of a batch, as a worker would."""
    for run in batch.runs.order_by("pk"):
        parsed(run)


def test_a_plan_says_which_can_be_parsed_and_why_others_cannot():
    good, busy, empty = (parsed(upload(users(rows))) for rows in (2, 3, 4))
    again(busy.data_file)
    DataFile.objects.filter(pk=empty.data_file_id).update(file="")
    chosen = plan(Scope((good.data_file_id, busy.data_file_id, empty.data_file_id, 9_999)))

    assert chosen.eligible == (good.data_file_id,)
    assert chosen.skipped == {reparsing.BUSY: 1, reparsing.NO_CONTENT: 1, reparsing.GONE: 1}
    assert chosen.sentence == (
        "1 file can be parsed again; 1 file left out: being parsed already; 1 file left out: without their"
        " content, which was deleted; 1 file left out: deleted."
    )


def test_a_scope_names_files_by_kind_and_by_success():
    fine = parsed(upload(users(wrong=0)))
    unknown = parsed(upload(b"a,b\n1,2\n", "unknown.csv"))
    assert unknown.state == "failed"

    assert plan(Scope()).eligible == (fine.data_file_id, unknown.data_file_id)
    assert plan(Scope(kind="users")).eligible == (fine.data_file_id,)
    assert plan(Scope(unsuccessful=True)).eligible == (unknown.data_file_id,)
    assert str(Scope(kind="group_categories", unsuccessful=True)) == (
        "all files of kind group categories that never succeeded"
    )


def test_results_switch_when_the_new_run_has_succeeded_and_the_first_log_stays():
    first = parsed(upload())
    before = log_of(first)
    batch = reparse(Scope((first.data_file_id,)), send=False, reason="why not")
    data_file = DataFile.objects.get()
    assert data_file.result_run_id == first.pk

    do_all(batch)
    data_file.refresh_from_db()
    second = batch.runs.get()
    assert data_file.result_run_id == second.pk
    assert second.attempt == 2
    assert f"-b{batch.pk}-" in second.log_file.name
    assert log_of(first) == before
    assert first.messages.exists()


def test_results_stay_where_the_new_run_fails(settings):
    first = parsed(upload())
    batch = reparse(Scope((first.data_file_id,)), send=False)
    settings.PARSELOGS_PARSERS = ["tests.parselogs.no_such_parser"]
    do_all(batch)

    assert batch.runs.get().state == "failed"
    assert DataFile.objects.get().result_run_id == first.pk


def test_a_batch_counts_its_runs():
    for rows in (2, 3, 4):
        parsed(upload(users(rows)))
    batch = reparse(Scope(), send=False)
    parsed(batch.runs.order_by("pk")[0])

    so_far = progress_of([batch])[batch.pk]
    assert (so_far.done, so_far.total, so_far.at_work, so_far.unsuccessful) == (1, 3, True, 0)
    ParseFileMeta.objects.filter(parse_meta=batch, state="queued").update(
        state="lost", finished_at="2026-11-22T00:00Z"
    )
    so_far = progress_of([batch])[batch.pk]
    assert (so_far.done, so_far.at_work, so_far.unsuccessful) == (3, False, 2)


def test_nothing_is_queued_where_nothing_can_be():
    run = upload()
    with pytest.raises(NothingToReparse, match="1 file left out: being parsed already"):
        reparse(Scope((run.data_file_id,)), send=False)
    assert not ParseMeta.objects.exists()


def test_a_batch_has_a_limit(monkeypatch):
    for rows in (2, 3):
        parsed(upload(users(rows)))
    monkeypatch.setattr(reparsing, "BATCH_FILES", 1)
    with pytest.raises(TooManyFiles, match="more than one batch holds"):
        reparse(Scope(), send=False)
    assert ParseFileMeta.objects.count() == 2


def test_a_kill_while_a_batch_is_written_leaves_nothing_of_it(monkeypatch):
    for rows in (2, 3):
        parsed(upload(users(rows)))
    real = reparsing.queue

    def killed(data_file: DataFile, *args: Any, **options: Any) -> ParseFileMeta:
        if ParseMeta.objects.get().runs.exists():
            raise KeyboardInterrupt
        return real(data_file, *args, **options)

    monkeypatch.setattr(reparsing, "queue", killed)
    with pytest.raises(KeyboardInterrupt):
        reparse(Scope(), send=False)
    assert not ParseMeta.objects.exists()
    assert ParseFileMeta.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_runs_of_a_batch_are_sent_when_it_is_written(redis):
    for rows in (2, 3):
        parsed(upload(users(rows)))
    reparse(Scope())

    assert waiting() == 2


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_one_run_says_so_and_the_others_wait(settings):
    from tests.workers import celery_app, use_broker

    for rows in (2, 3, 4):
        parsed(upload(users(rows)))
    before = celery_app.conf.broker_url
    use_broker("redis://127.0.0.1:1/0")
    try:
        batch = reparse(Scope())
    finally:
        use_broker(before)
    states = list(batch.runs.order_by("pk").values_list("state", "failure_code"))
    assert states == [("failed", "dispatch"), ("queued", ""), ("queued", "")]


# --- from the console -----------------------------------------------------------------------------


def test_one_file_is_reparsed_from_its_page(client):
    run = parsed(upload())
    url = reverse("admin:parselogs_datafile_reparse", args=[run.data_file_id])
    response = client.post(url, {"reason": "see", "log_level": "DEBUG"})

    new = ParseFileMeta.objects.latest("attempt")
    assert response.url == reverse("admin:parselogs_parsefilemeta_change", args=[new.pk])
    assert (new.log_level, new.trigger, new.parse_meta.reason) == ("DEBUG", "reparse", "see")
    assert new.triggered_by.username == "olga"
    assert LogEntry.objects.filter(change_message="Reparsed the file (attempt 2).").exists()


def test_chosen_files_are_counted_confirmed_and_reparsed(client):
    runs = [parsed(upload(users(rows))) for rows in (2, 3)]
    again(runs[1].data_file)
    chosen = {"action": "reparse_selected", "_selected_action": [run.data_file_id for run in runs]}
    asked = client.post(reverse("admin:parselogs_datafile_changelist"), chosen)
    shown = text_of(asked)
    assert "1 file can be parsed again. 1 file left out: being parsed already." in shown
    assert not ParseMeta.objects.exists()

    form = {
        "keys": asked.context["form"]["keys"].value(),
        "log_level": "INFO",
        "reason": "x",
        "confirmed": "1",
    }
    response = client.post(reverse(MANY), form)
    batch = ParseMeta.objects.get()
    assert response.url == reverse("admin:parselogs_parsemeta_change", args=[batch.pk])
    page = text_of(client.get(response.url))
    assert "of 1 done" in page
    assert "1 left out: being parsed already" in page
    assert LogEntry.objects.filter(change_message__contains="Reparsed 1 file").exists()


def test_files_of_chosen_runs_are_reparsed_once_each(client):
    run = parsed(upload())
    other = parsed(again(run.data_file))
    chosen = {"action": "reparse_selected", "_selected_action": [run.pk, other.pk]}

    asked = client.post(reverse("admin:parselogs_parsefilemeta_changelist"), chosen)
    assert asked.context["plan"].eligible == (run.data_file_id,)


def test_all_of_a_kind_are_counted_first(client):
    parsed(upload(users(2)))
    parsed(upload(b"a,b\n1,2\n", "unknown.csv"))
    assert "Count the files" in text_of(client.get(reverse(MANY)))

    counted = text_of(client.post(reverse(MANY), {"kind": "users", "log_level": "INFO"}))
    assert "1 file can be parsed again." in counted
    assert "Reparse 1 file" in counted
    assert not ParseMeta.objects.exists()


def test_a_number_that_has_changed_since_is_shown_again(client):
    parsed(upload(users(2)))
    parsed(upload(users(3)))
    response = client.post(reverse(MANY), {"log_level": "INFO", "confirmed": "1"})

    assert "2 files can be parsed again." in text_of(response)
    assert not ParseMeta.objects.exists()


@pytest.mark.parametrize("keys", ["1;drop", "1,x", "٣", "9" * 40])
def test_garbled_keys_are_refused(client, keys):
    response = client.post(reverse(MANY), {"keys": keys, "log_level": "INFO", "confirmed": "0"})

    assert "Choose the files in the list again" in text_of(response)


def test_a_late_batch_says_so(client):
    parsed(upload())
    batch = reparse(Scope(), send=False, within_hours=1)
    ParseMeta.objects.update(deadline="2026-01-01T00:00Z")

    shown = text_of(client.get(reverse("admin:parselogs_parsemeta_changelist")))
    assert "late: 0 of 1 done" in shown
    assert batch.deadline


# --- the command ----------------------------------------------------------------------------------


def run_command(*arguments: str) -> str:
    """Run `reparse_files` here and return what it prints."""
    output = io.StringIO()
    call_command("reparse_files", *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()


@pytest.fixture
def _no_worker(monkeypatch) -> None:
    from parselogs.management.commands import reparse_files

    monkeypatch.setattr(reparse_files, "worker_answers", lambda: False)


@pytest.mark.usefixtures("_no_worker")
def test_the_command_reparses_without_a_worker():
    run = parsed(upload(users(wrong=0)))
    told = json.loads(run_command("--all", "--reason", "a new parser", "--json"))

    batch = ParseMeta.objects.get()
    assert told["batch"] == batch.pk
    assert (told["runs"], told["states"], told["skipped"]) == (1, {"succeeded": 1}, {})
    assert batch.reason == "a new parser"
    assert DataFile.objects.get().result_run.attempt == 2
    assert run_command(str(run.data_file_id)).startswith("Batch ")


@pytest.mark.usefixtures("_no_worker")
def test_the_command_leaves_with_1_where_a_run_fails():
    parsed(upload(b"a,b\n1,2\n", "unknown.csv"))
    with pytest.raises(SystemExit) as left:
        run_command("--unsuccessful")
    assert left.value.code == 1


def test_a_dry_run_parses_nothing():
    parsed(upload())

    assert run_command("--all", "--dry-run") == "1 file can be parsed again.\n"
    assert json.loads(run_command("--all", "--dry-run", "--json")) == {"eligible": 1, "skipped": {}}
    assert not ParseMeta.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name the files by their numbers, a --kind, or say --all."),
        (("1", "--all"), "not by both"),
        (("--kind", "nothing"), "There is no file of kind nothing."),
        (("x1",), "is no number of a data file"),
        (("99999999999999999999",), "is no number of a data file"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments, said):
    with pytest.raises(CommandError, match=said) as refused:
        run_command(*arguments)
    assert refused.value.returncode in (1, 2)


@pytest.mark.usefixtures("_no_worker")
def test_nothing_to_reparse_is_a_sentence():
    with pytest.raises(CommandError, match="0 files can be parsed again; 1 file left out: deleted"):
        run_command("77")
