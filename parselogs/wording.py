"""What findings say to people: sentences and what to do about them, as the parsers declare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Min

from parselogs.installed import known_parsers
from parselogs.models import ParseFileMeta, RowMessage
from parselogs.parsers.findings import Code, filled, meaning_of, title_of

ORDER = (RowMessage.Severity.FILE, RowMessage.Severity.ROW, RowMessage.Severity.WARNING)


@dataclass(frozen=True, slots=True)
class CodeCount:
    """How often a run found something, and the first of these findings, where it is kept."""

    code: str
    count: int
    severity: str
    first: RowMessage | None

    @property
    def text(self) -> str:
        """What the first of them says."""
        return text_of(self.first) if self.first else title_of(self.code)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return advice_of(self.first) if self.first else ""


def said(code: str, column: str, detail: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a finding says and what to do about it.

    A code that the parsers no longer know says itself, and nothing is to be done about it.
    """
    meaning = _meaning(code)
    return filled(meaning.text, code, column, detail), filled(meaning.advice, code, column, detail)


def text_of(message: RowMessage) -> str:
    """Return what a finding says."""
    return said(message.code, message.column, message.detail)[0]


def advice_of(message: RowMessage) -> str:
    """Return what to do about a finding."""
    return said(message.code, message.column, message.detail)[1]


def severity_of(code: str) -> str:
    """Return how bad findings of a code are; a code that nobody knows any more is a warning."""
    return str(_meaning(code).severity)


def _meaning(code: str) -> Code:
    return meaning_of(code, known_parsers().codes.get(code))


def codes_of(run: ParseFileMeta) -> list[CodeCount]:
    """Return what a run found by code, the worst first."""
    firsts = run.messages.order_by().values_list("code").annotate(Min("pk")).values_list("pk__min", flat=True)
    kept = {message.code: message for message in RowMessage.objects.filter(pk__in=list(firsts))}
    counted = [
        CodeCount(
            code, count, kept[code].severity if code in kept else severity_of(code), first=kept.get(code)
        )
        for code, count in run.finding_counts.items()
    ]
    return sorted(
        counted, key=lambda one: (ORDER.index(RowMessage.Severity(one.severity)), -one.count, one.code)
    )
