"""Ids typed by people, found by primary key."""

from __future__ import annotations

import pytest

from canvas.lookup import keys_of, rows_of
from canvas.models import Course, Shard
from easel.ids import SHARD_SIZE
from tests.factories import CourseFactory, InstanceFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("spelling", ["42", " 42 ", "7~42", f"{7 * SHARD_SIZE + 42}"])
def test_an_id_is_found_in_every_spelling(spelling):
    course = CourseFactory(instance=InstanceFactory(canvas_shard=7), canvas=42)

    assert course.pk in keys_of(spelling)


def test_a_bare_number_means_every_site(django_assert_num_queries):
    here, there = CourseFactory(canvas=42), CourseFactory(canvas=42)

    with django_assert_num_queries(1):
        assert keys_of("42") == [here.pk, there.pk]


def test_a_shard_narrows_an_id_to_the_sites_that_know_it():
    home = InstanceFactory(canvas_shard=7)
    guest = InstanceFactory(canvas_shard=8)
    number = Shard.allot(guest, 7)
    CourseFactory(instance=home, canvas=1)
    CourseFactory(instance=guest, canvas=1)

    numbers = {home.folder().base // SHARD_SIZE, number}
    assert set(keys_of("7~42")) == {each * SHARD_SIZE + 42 for each in numbers}
    assert keys_of("9~42") == []


@pytest.mark.parametrize("text", ["", "Biology", "-3", "0", "4 2", "1~2~3", "9" * 30])
def test_what_is_no_id_finds_nothing(text):
    CourseFactory(canvas=42)

    assert keys_of(text) == []


def test_rows_of_a_site_are_found_on_all_its_shards():
    home = CourseFactory()
    between = CourseFactory()
    foreign = Shard.allot(home.instance, 9)
    guest = CourseFactory(instance=home.instance, id=foreign * SHARD_SIZE + 1)

    assert set(Course.objects.filter(rows_of(home.instance_id))) == {home, guest}
    assert list(Course.objects.filter(rows_of(between.instance_id))) == [between]
    assert not Course.objects.filter(rows_of(InstanceFactory().pk)).exists()
