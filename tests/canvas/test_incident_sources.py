"""Broken promises of freshness become incidents, and are over when a sync keeps them again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from canvas.incident_sources import broken_promises_of_freshness, ending_tokens
from canvas.models import Connection, Promise, Scope
from syncmetrics.alerts.incidents import watch
from syncmetrics.models import AlertChannel, AlertDelivery, Incident
from tests.factories import ConnectionFactory, InstanceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def terms() -> Scope:
    """A copy of terms that is 30 hours old, of which 24 were promised."""
    connection = ConnectionFactory(instance=InstanceFactory(name="North"), account_admin=True)
    Promise.objects.create(instance=connection.instance, resource="terms", hours=24)
    read = timezone.now() - timedelta(hours=30)
    return Scope.objects.create(
        connection=connection,
        resource="terms",
        course_id=0,
        last_complete_at=read,
    )


def test_a_broken_promise_names_the_copy_and_since_when(terms):
    ConnectionFactory(instance=terms.connection.instance)
    now = timezone.now()
    found = [one for one in broken_promises_of_freshness(now) if one.about.startswith("terms")]

    assert [(one.about, one.text) for one in found] == [
        ("terms of North", "The copy is 30 h old; 24 h were promised.")
    ]
    assert abs(found[0].since - (terms.last_complete_at + timedelta(hours=24))) < timedelta(seconds=1)
    assert len(found[0].connections) == 2


def test_it_is_an_incident_from_the_moment_it_broke_until_it_is_kept(terms):
    for name, connections in (("North", [terms.connection_id]), ("South", [terms.connection_id + 1])):
        AlertChannel.objects.create(name=name, url="json://localhost:9/x", connection_keys=connections)
    watch()
    watch()
    incident = Incident.objects.get(about="terms of North")
    assert (incident.kind, incident.ended_at, incident.instance_key) == (
        "stale",
        None,
        terms.connection.instance_id,
    )
    told = AlertDelivery.objects.filter(incident=incident)
    assert [one.channel.name for one in told] == ["North"]

    Scope.objects.update(last_complete_at=timezone.now())
    watch()
    incident.refresh_from_db()
    assert incident.ended_at
    assert [one.what for one in told.all()] == ["began", "recovered"]


@pytest.mark.parametrize(
    ("days", "columns", "text"),
    [
        (13, {}, "The token ends on "),
        (-1, {}, "The token ended on "),
        (
            300,
            {"state": "rejected", "state_message": "Canvas says 401."},
            "refuses the token: Canvas says 401.",
        ),
        (None, {"state": "rejected", "checked_at": None}, "refuses the token: it does not say why"),
        (15, {}, ""),
        (None, {}, ""),
        (None, {"state": "unreachable"}, ""),
    ],
)
def test_a_token_that_is_refused_or_ends_soon_is_found(days, columns, text):
    now = timezone.now()
    end = None if days is None else now + timedelta(days=days)
    connection = ConnectionFactory(token_expires_at=end, **columns)
    found = list(ending_tokens(now))

    assert [one.text for one in found if text in one.text] == [one.text for one in found]
    assert bool(found) is bool(text)
    for one in found:
        assert one.since <= now
        assert one.connections == {connection.pk}
        assert one.page == reverse("admin:canvas_connection_change", args=[connection.pk])


def test_a_new_token_ends_the_incident(terms):
    Connection.objects.update(token_expires_at=timezone.now() + timedelta(days=3))
    watch()
    assert Incident.objects.get(kind="token").ended_at is None
    Connection.objects.update(token_expires_at=timezone.now() + timedelta(days=90))
    watch()

    assert Incident.objects.get(kind="token").ended_at
