"""What findings say to people: sentences and what to do about them, from the parsers' table of codes."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Min

from parselogs.models import ParseFileMeta, RowMessage
from parselogs.parsers.findings import CODES

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


def title_of(code: str) -> str:
    """Return a code as words."""
    return code.replace("_", " ").capitalize()


def text_of(message: RowMessage) -> str:
    """Return what a finding says; a code that the parsers no longer know says itself."""
    code = CODES.get(message.code)
    return _filled(code.text, message) if code else title_of(message.code)


def advice_of(message: RowMessage) -> str:
    """Return what to do about a finding; empty where the parsers no longer know its code."""
    code = CODES.get(message.code)
    return _filled(code.advice, message) if code else ""


def _filled(text: str, message: RowMessage) -> str:
    try:
        return text.format(column=message.column or "the column", **message.detail)
    except (KeyError, IndexError, ValueError, TypeError):
        return title_of(message.code)  # found by an older parser, which kept other details


def severity_of(code: str) -> str:
    """Return how bad findings of a code are; a code that nobody knows any more is a warning."""
    return str(CODES[code].severity) if code in CODES else str(RowMessage.Severity.WARNING)


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
