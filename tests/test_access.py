"""Who may open and do what on the console: every address of it, for every kind of person."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.files.base import ContentFile
from django.db.models import ProtectedError
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from canvas.access import allowed_instances, has_instance, limit, set_limits
from canvas.admin.limited import LimitedAdmin
from canvas.models import Connection, Course, Export, Instance, InstanceLimit, Promise
from canvas.models import User as CanvasUser
from canvas.resources import RESOURCES
from config.roles import ROLES, make_roles
from logmonitor.models import BadLine, Gap, LogLine, LogSource, Segment
from parselogs.models import DataFile, ParseFileMeta, ParseMeta
from parselogs.storage import uploads
from syncmetrics.audit import record
from syncmetrics.models import AlertChannel, ApiToken, Incident, JobRun, ReportRecipient, SyncRun
from tests import factories
from tests.console import client_of, person, staff, text_of
from tests.factories import ConnectionFactory, CourseFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db

# --- the matrix -----------------------------------------------------------------------------------

# N: may log in, has no role; V, O, A: viewer, operator, administrator; S: superuser;
# I: viewer limited to the site that everything here belongs to; X: viewer limited to another site;
# -: nobody is logged in.
LOGGED_IN = "NVOASIX"
# The database decides nothing here: on PostgreSQL its statements are tried by those who open most of them,
# without and with a limit.
RENDERED = "VSI"
"""For whom pages are drawn too. Who is let in is known before that, and drawing takes most of the time."""
KINDS = [pytest.param(kind, marks=() if kind in "SI" else pytest.mark.sqlite) for kind in "-" + LOGGED_IN]
ROWS = [f"canvas_{resource.model._meta.model_name}" for resource in RESOURCES.values()]
RULES: list[tuple[str, str, str]] = [
    # address, who may look (GET), who may do (POST); the first that fits counts
    ("", "-" + LOGGED_IN, "-" + LOGGED_IN),
    ("healthz", "-" + LOGGED_IN, "-" + LOGGED_IN),
    ("admin:login", "-", "-" + LOGGED_IN),  # who is logged in already is led to the home page
    ("admin:logout", "", "-" + LOGGED_IN),  # by POST only
    ("admin:jsi18n", LOGGED_IN, LOGGED_IN),
    ("logmonitor:transfer*", "OAS", ""),  # who moved which file, and from where
    ("admin:logmonitor_logsource_delete", "", ""),
    ("admin:logmonitor_logsource_add", "AS", "AS"),
    ("admin:logmonitor_logsource_change", "OAS", "AS"),
    ("admin:logmonitor_logsource_*", "OAS", "OAS"),
    ("admin:logmonitor_badline_add", "", ""),
    ("admin:logmonitor_badline_delete", "", ""),
    ("admin:logmonitor_badline_change", "OAS", ""),
    ("admin:logmonitor_gap_add", "", ""),
    ("admin:logmonitor_gap_delete", "", ""),
    ("admin:logmonitor_gap_change", "OAS", ""),
    ("admin:logmonitor_badline_*", "OAS", "OAS"),
    ("admin:logmonitor_gap_*", "OAS", "OAS"),
    ("admin:logmonitor_logline_add", "", ""),
    ("admin:logmonitor_logline_delete", "", ""),
    ("admin:logmonitor_logline_change", "OAS", ""),
    ("admin:logmonitor_logline_*", "OAS", "OAS"),
    ("logmonitor:*", "VOAS", ""),  # all lines of all sites; those of one run have tests of their own
    ("admin:index", LOGGED_IN, LOGGED_IN),
    ("admin:search", LOGGED_IN, LOGGED_IN),
    ("admin:password_change*", LOGGED_IN, LOGGED_IN),
    ("admin:app_list", "VOASIX", "VOASIX"),
    ("admin:view_on_site", "", ""),  # nothing of ours has a page elsewhere
    ("admin:autocomplete", "VOASIX", "VOASIX"),  # asked for courses
    # the API, where who is logged in is asked in JSON
    ("metrics", "", ""),  # off unless PROMETHEUS_TOKEN is set
    ("api:document", "-" + LOGGED_IN, ""),
    ("api:show_sync", "VOASI", ""),
    ("api:show_transfers", "OAS", ""),
    ("api:*", "VOASIX", ""),
    # jobs, and one's own tokens; the one here is the superuser's
    ("admin:syncmetrics_jobrun_change", "VOASI", ""),
    ("admin:syncmetrics_apitoken_add", "VOASIX", "VOASIX"),
    ("admin:syncmetrics_apitoken_change", "S", ""),
    ("admin:syncmetrics_apitoken_revoke", "S", "S"),
    ("admin:syncmetrics_apitoken_history", "S", "S"),
    # syncs
    ("admin:syncmetrics_syncrun_progress", "VOASI", "VOASI"),
    ("admin:syncmetrics_syncrun_resume", "OAS", "OAS"),
    ("admin:syncmetrics_syncrun_cancel", "OAS", "OAS"),
    ("admin:canvas_course_sync", "OAS", "OAS"),
    ("admin:canvas_connection_sync", "OAS", "OAS"),
    ("admin:canvas_connection_test", "OAS", "OAS"),
    ("admin:canvas_connection_token", "OAS", "OAS"),
    ("admin:canvas_connection_add", "OAS", "OAS"),
    ("admin:canvas_connection_change", "VOASI", "AS"),
    ("admin:canvas_instance_change", "VOASI", "AS"),
    ("admin:canvas_instance_import", "AS", "AS"),
    ("admin:canvas_instance_process_import", "", "AS"),  # by POST only
    # alerts and reports
    ("admin:syncmetrics_incident_close", "OAS", "OAS"),
    ("admin:syncmetrics_incident_change", "VOASI", ""),
    ("admin:syncmetrics_alertchannel_changelist", "VOAS", "VOAS"),
    ("admin:syncmetrics_alertchannel_history", "VOAS", "VOAS"),
    ("admin:syncmetrics_alertchannel_change", "VOAS", "AS"),
    ("admin:syncmetrics_alertchannel_*", "AS", "AS"),
    ("admin:syncmetrics_reportrecipient_*", "AS", "AS"),
    # dashboard and freshness promises
    ("admin:syncmetrics_syncday_running", "VOASIX", "VOASIX"),
    ("admin:canvas_promise_change", "VOASI", "AS"),
    ("admin:canvas_promise_add", "AS", "AS"),
    ("admin:canvas_promise_delete", "AS", "AS"),
    # exports; the one here is the superuser's
    ("admin:*_export", "OAS", "OAS"),
    ("admin:canvas_export_changelist", "OAS", "OAS"),
    ("admin:canvas_export_download", "AS", "AS"),
    ("admin:canvas_export_history", "AS", "AS"),
    ("admin:canvas_export_change", "AS", ""),
    # what only the program writes
    *((f"admin:{name}_{what}", "", "") for name in ROWS for what in ("add", "delete")),
    *((f"admin:{name}_change", "VOASI", "") for name in [*ROWS, "syncmetrics_syncrun"]),
    ("admin:canvas_*_add", "", ""),
    ("admin:canvas_*_delete", "", ""),
    ("admin:syncmetrics_*_add", "", ""),
    ("admin:syncmetrics_*_delete", "", ""),
    ("admin:canvas_*_changelist", "VOASIX", "VOASIX"),
    ("admin:syncmetrics_*_changelist", "VOASIX", "VOASIX"),
    ("admin:canvas_*_history", "VOASI", "VOASI"),
    ("admin:syncmetrics_*_history", "VOASI", "VOASI"),
    # uploaded files: lists for all, logs and work for operators, what is in the files for administrators
    ("admin:parselogs_*_delete", "", ""),
    ("admin:parselogs_datafile_add", "OAS", "OAS"),
    ("admin:parselogs_*_add", "", ""),
    ("admin:parselogs_datafile_download", "AS", ""),
    ("admin:parselogs_datafile_reparse*", "OAS", "OAS"),
    ("admin:parselogs_datafile_remove", "AS", "AS"),
    *((f"admin:parselogs_parsefilemeta_{name}", "OAS", "OAS") for name in ("reparse", "cancel", "store")),
    ("admin:parselogs_parsefilemeta_log*", "OAS", ""),
    ("admin:parselogs_parsefilemeta_lines", "OAS", ""),
    ("admin:parselogs_parsefilemeta_findings_download", "OAS", ""),
    ("admin:parselogs_parsefilemeta_compare", "OAS", ""),
    ("admin:parselogs_parsemeta_logs", "OAS", ""),
    ("admin:parselogs_*_change", "VOAS", ""),
    ("admin:parselogs_*", "VOAS", "VOAS"),
    # schedules
    ("admin:django_celery_beat_periodictask_run", "OAS", "OAS"),
    ("admin:django_celery_beat_periodictask_changelist", "OAS", "OAS"),
    ("admin:django_celery_beat_periodictask_history", "OAS", "OAS"),
    ("admin:django_celery_beat_periodictask_change", "OAS", "AS"),
    ("admin:django_celery_beat_periodictask_process_import", "", "AS"),  # by POST only
    ("admin:django_celery_beat_*", "AS", "AS"),
    # access to the console
    ("admin:auth_user_delete", "", ""),
    ("admin:auth_user_*", "AS", "AS"),
    ("admin:auth_group_changelist", "AS", "AS"),
    ("admin:auth_group_history", "AS", "AS"),
    ("admin:auth_group_change", "AS", "S"),
    ("admin:auth_group_*", "S", "S"),
    ("admin:admin_logentry_add", "", ""),
    ("admin:admin_logentry_delete", "", ""),
    ("admin:admin_logentry_change", "AS", ""),
    ("admin:admin_logentry_*", "AS", "AS"),
    ("admin:axes_*_add", "", ""),
    ("admin:axes_accessattempt_delete", "AS", "AS"),
    ("admin:axes_*_delete", "S", "S"),
    ("admin:axes_*_change", "AS", "S"),
    ("admin:axes_*", "AS", "AS"),
]
# Only lead on to one of the addresses above, or to none.
LEADS_ON = {
    "django.views.generic.base.RedirectView",
    "django.contrib.admin.sites.AdminSite.catch_all_view",
    "config.api.unknown",
}
FORGED = {"post": "yes", "_save": "1", "mode": "full", "format": "0", "name": "forged", "token": "forged"}


def addresses() -> Iterator[tuple[str, URLPattern]]:
    """Yield the name and the pattern of everything the console answers."""

    def walk(patterns: list[Any], space: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else space)
            elif pattern.name or pattern.lookup_str not in LEADS_ON:
                yield space + (pattern.name or ""), pattern

    return walk(get_resolver().url_patterns, "")


def rule_of(name: str) -> tuple[str, str]:
    """Return who may look at and who may do an address; an address that nobody thought of fails."""
    for pattern, look, do in RULES:
        if fnmatchcase(name, pattern):
            return look, do
    raise AssertionError(f"Say in RULES who may open {name}")


def parsed_file() -> tuple[Any, ...]:
    """A file with its content in storage, a batch, and a run whose log is stored too."""
    data_file = DataFile.objects.create(
        name="users.csv", file=uploads().save("matrix.csv", ContentFile(b"user_id")), size=7, sha256="0" * 64
    )
    batch = ParseMeta.objects.create(kind="reparse")
    log = uploads().save("matrix.log.gz", ContentFile(gzip.compress(b"a line\n")))
    run = ParseFileMeta.objects.create(
        data_file=data_file,
        parse_meta=batch,
        attempt=1,
        state="succeeded",
        finished_at=timezone.now(),
        log_state="uploaded",
        log_file=log,
        findings_file=uploads().save("matrix.csv.gz", ContentFile(gzip.compress(b"file,row\n"))),
    )
    return data_file, batch, run


@pytest.fixture
def things() -> dict[str, Any]:
    """One row of every table with pages, all of one site; by `app_model`."""
    site = ConnectionFactory(name="prod").instance
    rows = [getattr(factories, f"{one.model.__name__}Factory")(instance=site) for one in RESOURCES.values()]
    now = timezone.now()
    owner = staff("owner", superuser=True)
    transfer_log = LogSource.objects.create(name="sftp", folder="/srv/sftp")
    log_file = Segment.objects.create(source=transfer_log, path="sftpgo.log", head_len=1, head=b"x")
    interval = IntervalSchedule.objects.create(every=3, period="hours")
    run = SyncRun.objects.create(
        instance_key=site.pk,
        connection_key=Connection.objects.get().pk,
        sync_status="failed",
        sync_end_time=now,
    )
    found = [
        *rows,
        site,
        Connection.objects.get(),
        run,
        JobRun.objects.create(task_id="one", name="canvas.sync_instance", run=run),
        ApiToken.objects.create(user=owner, name="Nightly report", digest="0" * 64),
        Export.objects.create(
            owner=owner, table="canvas.course", format="csv", state="completed", ended_at=now
        ),
        Promise.objects.create(instance=site, resource="courses", hours=24),
        *parsed_file(),
        staff("anybody"),
        Group.objects.create(name="Anything"),
        interval,
        CrontabSchedule.objects.create(),
        PeriodicTask.objects.create(name="Nightly", task="canvas.sync_connection", interval=interval),
        Incident.objects.create(kind="failed", subject="x", about="prod", instance_key=site.pk),
        AlertChannel.objects.create(name="Ops", url="json://localhost:1/secret"),
        ReportRecipient.objects.create(email="ops@example.edu"),
        AccessAttempt.objects.create(username="x", ip_address="192.0.2.1", failures_since_start=1),
        AccessFailureLog.objects.create(username="x", ip_address="192.0.2.1"),
        AccessLog.objects.create(username="x", ip_address="192.0.2.1"),
        LogEntry.objects.log_actions(owner.pk, [site], 2, "Looked at it.", single_object=True),
        transfer_log,
        BadLine.objects.create(segment=log_file, offset=0, length=1, raw=b"x", reason="torn"),
        Gap.objects.create(source=transfer_log, segment=log_file, reason="rotated away"),
        LogLine.objects.create(pk=1 << 41, source=transfer_log, at=now, day=now.date(), kind="transfer"),
    ]
    return {f"{row._meta.app_label}_{row._meta.model_name}": row for row in found}


@pytest.fixture
def people(things) -> dict[str, Client]:
    """Somebody of each kind, logged in."""
    site, elsewhere = things["canvas_instance"], InstanceFactory()
    found = {
        "N": staff("none"),
        "V": person("viewer", "Viewer"),
        "O": person("operator", "Operator"),
        "A": person("administrator", "Administrator"),
        "S": staff("root", superuser=True),
        "I": person("insider", "Viewer", only=[site]),
        "X": person("stranger", "Viewer", only=[elsewhere]),
    }
    return {"-": Client(), **{kind: client_of(user) for kind, user in found.items()}}


def url_of(name: str, pattern: URLPattern, things: dict[str, Any]) -> str:
    """Return the address with the keys of things in it."""
    wanted = pattern.pattern.converters or dict.fromkeys(pattern.pattern.regex.groupindex)
    if "uuid" in wanted:
        thing = next(row for table, row in things.items() if name.startswith(f"admin:{table}_"))
        return reverse(name, args=[thing.uuid])
    if name == "logmonitor:transfer_session":
        return reverse(name, args=[things["logmonitor_logline"].pk])
    if name == "logmonitor:transfer_export":
        return reverse(name, args=["users", "csv"])
    if name == "api:show_sync":
        return reverse(name, args=[things["syncmetrics_syncrun"].pk])
    if name == "admin:app_list":
        return reverse(name, args=["canvas"])
    if name == "admin:autocomplete":
        query = "app_label=canvas&model_name=submission&field_name=course&term="
        return f"{reverse(name)}?{query}"
    if name == "admin:view_on_site":
        return reverse(name, args=[1, 1])
    if not wanted:
        return reverse(name) if name else "/"
    thing = next(row for table, row in things.items() if name.startswith(f"admin:{table}_"))
    return reverse(name, args=[thing.pk])


def let_in(response: Any) -> bool:
    """Tell whether a page opened. Django leads from a row that one may not see to the home page."""
    if response.streaming:
        b"".join(response.streaming_content)  # which closes what is sent
    if response.status_code == 302:
        return not response.url.startswith(reverse("admin:login")) and response.url != reverse("admin:index")
    return response.status_code not in (401, 403, 404, 405)


def contents() -> dict[str, list[Any]]:
    """Return every row of every table that a request may not change by itself."""
    passing = {"sessions.session", "axes.accesslog", "axes.accessattempt", "axes.accessfailurelog"}
    models = [model for model in apps.get_models() if model._meta.label_lower not in passing]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


@pytest.mark.parametrize("kind", KINDS)
def test_every_address_opens_for_whom_it_should(kind, things, people, monkeypatch):
    if kind not in RENDERED:
        monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", "")
    wrong = {}
    for name, pattern in addresses():
        expected = kind in rule_of(name)[0]
        response = people[kind].get(url_of(name, pattern, things))
        if response.status_code >= 500 or let_in(response) != expected:
            wrong[name] = response.status_code

    assert wrong == {}


@pytest.mark.parametrize("kind", KINDS)
def test_forged_posts_are_refused_and_nothing_happens(kind, things, people):
    before = contents()
    wrong = {}
    for name, pattern in addresses():
        if kind not in rule_of(name)[1]:
            response = people[kind].post(url_of(name, pattern, things), FORGED)
            if let_in(response):
                wrong[name] = response.status_code

    assert wrong == {}
    assert contents() == before


def test_a_post_without_the_forms_secret_is_refused(things, people):
    careless = Client(enforce_csrf_checks=True)
    careless.force_login(
        User.objects.get(username="root"), backend="django.contrib.auth.backends.ModelBackend"
    )

    for name in ("canvas_connection_sync", "canvas_connection_token", "canvas_course_sync"):
        row = things[name.rpartition("_")[0]]
        assert careless.post(reverse(f"admin:{name}", args=[row.pk]), FORGED).status_code == 403
    assert careless.post(reverse("admin:canvas_course_export"), {"format": "0"}).status_code == 403


# --- limits to instances --------------------------------------------------------------------------


def test_every_page_holds_to_the_limits():
    for model, pages in admin.site._registry.items():
        assert isinstance(pages, LimitedAdmin), f"{model._meta.label}: mix in LimitedAdmin"


@pytest.fixture
def two_sites():
    """One row of every mirrored table, a connection and a run on each of two sites."""
    sites = [InstanceFactory(name=name) for name in ("North", "South")]
    for site in sites:
        connection = ConnectionFactory(instance=site, name=f"{site.name.lower()}-main")
        SyncRun.objects.create(
            instance_key=site.pk,
            connection_key=connection.pk,
            connection_name=connection.name,
            sync_status="completed",
            sync_end_time=timezone.now(),
        )
        for resource in RESOURCES.values():
            getattr(factories, f"{resource.model.__name__}Factory")(instance=site)
    return sites


def list_url(model: type[Any], **query: Any) -> str:
    """Return the address of a list."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{'&'.join(f'{key}={value}' for key, value in query.items())}"


OF_SITES = [*(resource.model for resource in RESOURCES.values()), Instance, Connection, SyncRun]


@pytest.mark.parametrize("model", OF_SITES, ids=lambda model: model.__name__)
def test_lists_and_pages_show_only_the_sites_one_may_see(model, two_sites):
    north, south = two_sites
    client = client_of(person("ada", "Viewer", only=[north]))
    names = {Instance: "pk", SyncRun: "instance_key"}
    own = model.objects.get(**{names.get(model, "instance"): north.pk})
    other = model.objects.get(**{names.get(model, "instance"): south.pk})

    assert list(client.get(list_url(model)).context["cl"].result_list) == [own]
    page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    assert client.get(reverse(page, args=[own.pk])).status_code == 200
    assert client.get(reverse(page, args=[other.pk])).url == reverse("admin:index")


def test_limits_hold_in_search_filters_and_autocompletes(two_sites):
    north, south = two_sites
    client = client_of(person("ada", "Viewer", only=[north]))
    own, other = (Course.objects.get(instance=site) for site in two_sites)

    assert list(client.get(list_url(Course, q=other.canvas_id)).context["cl"].result_list) == []
    assert list(client.get(list_url(Course, instance=south.pk)).context["cl"].result_list) == []
    chosen = {"app_label": "canvas", "model_name": "submission", "field_name": "course", "term": ""}
    found = client.get(reverse("admin:autocomplete"), chosen).json()["results"]
    assert [row["id"] for row in found] == [str(own.pk)]
    for url in (list_url(Course), list_url(Connection), list_url(SyncRun)):
        assert "South" not in client.get(url).content.decode()
        assert "south-main" not in client.get(url).content.decode()


def test_a_filters_address_does_not_tell_the_name_of_another_sites_row(two_sites):
    north, south = two_sites
    Course.objects.filter(instance=south).update(name="Secret course")
    other = Course.objects.get(instance=south)
    client = client_of(person("ada", "Viewer", only=[north]))

    for model in (apps.get_model("canvas", name) for name in ("Section", "Submission")):
        body = client.get(list_url(model, course__id__exact=other.pk)).content.decode()
        assert "Secret course" not in body


def test_home_shows_only_the_sites_one_may_see(two_sites):
    north, south = two_sites
    client = client_of(person("ada", "Viewer", only=[north]))
    shown = text_of(client.get(reverse("admin:index")))

    assert "north-main" in shown
    assert "south-main" not in shown
    assert south.base_url not in shown


def test_limits_of_a_person_and_of_their_groups_add_up(two_sites):
    north, south = two_sites
    faculty = Group.objects.create(name="Faculty")
    set_limits(group=faculty, instances=[south])
    ada = person("ada", "Viewer", only=[north])
    assert allowed_instances(User.objects.get(pk=ada.pk)) == {north.pk}

    ada.groups.add(faculty)
    ada = User.objects.get(pk=ada.pk)
    assert allowed_instances(ada) == {north.pk, south.pk}
    assert limit(Course.objects.all(), ada).count() == 2

    set_limits(user=ada, instances=[])
    assert allowed_instances(User.objects.get(pk=ada.pk)) == {south.pk}


def test_a_superuser_is_not_limited(two_sites):
    root = staff("root", superuser=True)
    set_limits(user=root, instances=two_sites[:1])

    assert allowed_instances(root) is None
    assert limit(Course.objects.all(), root).count() == 2


def test_a_table_without_a_site_shows_nothing_to_the_limited(two_sites):
    ada = person("ada", "Administrator", only=two_sites[:1])

    assert not has_instance(User)
    assert limit(User.objects.all(), ada).count() == 0
    for name in ("auth_user", "auth_group", "axes_accesslog", "django_celery_beat_intervalschedule"):
        assert client_of(ada).get(reverse(f"admin:{name}_changelist")).status_code == 403


def test_a_limited_operator_cannot_act_on_another_site(two_sites):
    north, south = two_sites
    client = client_of(person("ada", "Operator", only=[north]))
    connection = Connection.objects.get(instance=south)
    run = SyncRun.objects.get(instance_key=south.pk)
    before = contents()

    for name, row in (("canvas_connection_sync", connection), ("canvas_connection_test", connection)):
        assert client.post(reverse(f"admin:{name}", args=[row.pk]), FORGED).status_code == 404
    for name in ("resume", "cancel"):
        url = reverse(f"admin:syncmetrics_syncrun_{name}", args=[run.pk])
        assert client.post(url, FORGED).status_code == 404
    assert contents() == before


def test_a_limit_is_of_a_person_or_a_group(db):
    from django.db import IntegrityError, transaction

    site, ada, group = InstanceFactory(), staff("ada"), Group.objects.create(name="g")
    for holder in ({}, {"user": ada, "group": group}):
        with pytest.raises(IntegrityError), transaction.atomic():
            InstanceLimit.objects.create(instance=site, **holder)


def test_nobody_sees_more_because_a_site_or_a_group_is_deleted(two_sites):
    faculty = Group.objects.create(name="Faculty")
    set_limits(group=faculty, instances=two_sites[:1])

    with pytest.raises(ProtectedError):
        faculty.delete()
    alone = InstanceFactory()
    set_limits(user=staff("ada"), instances=[alone])
    with pytest.raises(ProtectedError):
        alone.delete()


def test_who_is_not_logged_in_sees_no_site(two_sites):
    set_limits(group=Group.objects.create(name="Faculty"), instances=two_sites)

    assert limit(Course.objects.all(), AnonymousUser()).count() == 0


# --- roles ----------------------------------------------------------------------------------------


def permissions_of(role: str) -> set[str]:
    """Return what a role may do, as `app.codename`."""
    held = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in held}


def test_the_roles_are_there_after_migrating():
    for role, patterns in ROLES.items():
        held = permissions_of(role)
        for pattern in patterns:
            assert any(fnmatchcase(name, pattern) for name in held), f"{role}: {pattern} names nothing"
    assert permissions_of("Viewer") < permissions_of("Operator") < permissions_of("Administrator")


def test_a_viewer_only_looks():
    assert {name.split(".")[1].split("_")[0] for name in permissions_of("Viewer")} == {"view"}


def test_making_the_roles_again_leaves_what_their_site_made_of_them():
    viewer, operator = (Group.objects.get(name=name) for name in ("Viewer", "Operator"))
    taken = viewer.permissions.get(codename="view_submission")
    viewer.permissions.remove(taken)
    given = Permission.objects.get(codename="change_instance")
    operator.permissions.add(given)
    Group.objects.get(name="Administrator").delete()

    make_roles()

    assert taken not in viewer.permissions.all()
    assert given in operator.permissions.all()
    assert "canvas.connect_canvas" in permissions_of("Administrator")


def test_a_new_permission_reaches_the_roles_that_are_there():
    Permission.objects.filter(codename="view_course").delete()

    make_roles()

    assert "canvas.view_course" in permissions_of("Viewer")


# --- people ---------------------------------------------------------------------------------------


def page_of(user: User) -> str:
    """Return the address of a person's page."""
    return reverse("admin:auth_user_change", args=[user.pk])


def filled(user: User, **changes: Any) -> dict[str, Any]:
    """Return a person's form as a browser sends it."""
    joined = user.date_joined
    form = {
        "username": user.username,
        "is_active": "on",
        "is_staff": "on",
        "groups": [group.pk for group in user.groups.all()],
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
    }
    return form | changes


def test_an_administrator_gives_roles_and_limits(two_sites):
    client = client_of(person("boss", "Administrator"))
    ada = staff("ada")
    viewer = Group.objects.get(name="Viewer")

    response = client.post(page_of(ada), filled(ada, groups=[viewer.pk], limited_to=[two_sites[0].pk]))

    assert response.status_code == 302, response.context["errors"]
    assert list(ada.groups.all()) == [viewer]
    assert allowed_instances(User.objects.get(pk=ada.pk)) == {two_sites[0].pk}
    assert "limited" in text_of(client.get(reverse("admin:admin_logentry_changelist"))).lower()


def test_an_administrator_cannot_hand_out_more_than_they_have():
    client = client_of(person("boss", "Administrator"))
    ada = staff("ada")
    mighty = Group.objects.create(name="Mighty")
    mighty.permissions.add(
        *mighty.permissions.model.objects.filter(codename="change_group", content_type__app_label="auth")
    )
    power = mighty.permissions.get()

    client.post(page_of(ada), filled(ada, is_superuser="on", user_permissions=[power.pk]))
    refused = client.post(page_of(ada), filled(ada, groups=[mighty.pk]))

    ada = User.objects.get(pk=ada.pk)
    assert refused.status_code == 200  # the form says that there is no such choice
    assert not ada.is_superuser
    assert not ada.user_permissions.exists()
    assert not ada.groups.exists()


@pytest.mark.parametrize("mightier", ["superuser", "sleeping"])
def test_an_administrator_cannot_change_somebody_who_may_more(mightier):
    client = client_of(person("boss", "Administrator"))
    other = staff("other", "delete_group", superuser=mightier == "superuser")
    User.objects.filter(pk=other.pk).update(is_active=mightier == "superuser")
    password = reverse("admin:auth_user_password_change", args=[other.pk])
    new = {"password1": "a long and unusual phrase", "password2": "a long and unusual phrase"}

    assert client.post(page_of(other), filled(other, username="mine")).status_code == 403
    assert client.post(password, {**new, "usable_password": "true"}).status_code == 403
    other.refresh_from_db()
    assert other.username == "other"


# --- records --------------------------------------------------------------------------------------


def test_what_was_done_is_recorded_with_who_and_what(rf):
    course, boss = CourseFactory(name="Compilers"), person("boss", "Administrator")
    request = rf.get("/")
    request.user = boss
    record(request, course, "Looked very closely.")

    shown = text_of(client_of(boss).get(reverse("admin:admin_logentry_changelist")))
    for expected in ("boss", "Looked very closely.", "course", "Compilers"):
        assert expected in shown


def test_a_limited_administrator_reads_own_records_only(rf, two_sites):
    for name in ("ada", "bob"):
        request = rf.get("/")
        request.user = person(name, "Administrator", only=two_sites[:1])
        record(request, two_sites[0], f"Done by {name}.")

    client = client_of(User.objects.get(username="ada"))
    shown = text_of(client.get(reverse("admin:admin_logentry_changelist")))
    assert "Done by ada." in shown
    assert "Done by bob." not in shown


def test_a_list_costs_a_limited_person_the_same_for_any_number_of_rows(
    two_sites, django_assert_max_num_queries
):
    client = client_of(person("ada", "Viewer", only=two_sites))
    UserFactory.create_batch(20, instance=two_sites[0])

    with django_assert_max_num_queries(14):
        client.get(list_url(CanvasUser))
