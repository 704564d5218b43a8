from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.redaction import anonymous, clean, redact

TOKEN = "7236~Qw3rTyUiOpAsDfGhJkLzXcVbNm0123456789"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [redacted]"),
        ("authorization: bearer abc.def-ghi, next", "authorization: bearer [redacted], next"),
        ("GET /x?access_token=abc123&page=2", "GET /x?access_token=[redacted]&page=2"),
        ("GET /x?a=1&api_key=abc123", "GET /x?a=1&api_key=[redacted]"),
        ('{"access_token": "abc123", "x": 1}', '{"access_token": "[redacted]", "x": 1}'),
        ("url=%2Fx%3Faccess_token%3Dabc123", "url=%2Fx%3Faccess_token%3D[redacted]"),
        (f"the token {TOKEN}.", "the token [redacted]."),
        (f"the token {TOKEN.replace('~', '%7E')}.", "the token [redacted]."),
        ("mail to jane.o'neil+x@cs.example.edu now", "mail to [redacted] now"),
        (
            "BEARER+abc ACCESS_TO\u212aEN:x API_\u212aEY=y",
            "BEARER+[redacted] ACCESS_TO\u212aEN:[redacted] API_\u212aEY=[redacted]",
        ),
        (
            "acce\u017f\u017f_token=x, ap\u0131_key=y",
            "acce\u017f\u017f_token=[redacted], ap\u0131_key=[redacted]",
        ),
        ("/users/sis_login_id:jane%40example.edu/x", "/users/sis_login_id:[redacted]/x"),
    ],
)
def test_redact_masks_what_nobody_may_read(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("text", ["course 123~456", "GET /api/v1/courses/42/users", "12@ 5", "a@b"])
def test_redact_leaves_everything_else(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    "name", ["sis_login_id", "SIS_LOGIN_ID", "\u017fis_log\u0131n_\u0131d"], ids=["lower", "upper", "odd"]
)
def test_logins_are_masked_where_more_people_read(name):
    assert anonymous(f"/users/{name}:ada/courses") == f"/users/{name}:[redacted]/courses"
    assert anonymous("Ada's login failed") == "Ada's login failed"


def test_redact_masks_given_secrets_also_percent_encoded():
    assert redact("a s3cr/et b s3cr%2Fet c", ["s3cr/et", ""]) == "a [redacted] b [redacted] c"


def test_redact_masks_the_longer_of_two_secrets_whole():
    assert redact("abcdef", ["abc", "abcdef"]) == "[redacted]"


def test_redact_is_linear_on_long_runs():
    assert redact("a" * 200_000 + "@") == "a" * 200_000 + "@"


def test_clean_escapes_control_characters_and_clamps():
    assert clean("one\ntwo\x1b[31m\0\ud800\u202e", 100) == "one\\ntwo\\x1b[31m\\x00\\ud800\\u202e"
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abcdefg", 6) == "abcde…"


@given(st.text(), st.integers(0, 50))
def test_clean_keeps_its_limit_and_is_printable_on_one_line(text, limit):
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
