"""Broken promises of freshness become incidents, and are over when a sync keeps them again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from canvas.incident_sources import broken_promises_of_freshness
from canvas.models import Promise, Scope
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
