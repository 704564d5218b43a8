"""The tables of `parselogs`: files, batches, runs, findings, and what storage still has to let go."""

from __future__ import annotations

from parselogs.models.files import DataFile, DiscardedObject, ParseMeta
from parselogs.models.findings import ParsedPart, RowMessage
from parselogs.models.runs import ParseFileMeta

__all__ = ["DataFile", "DiscardedObject", "ParseFileMeta", "ParseMeta", "ParsedPart", "RowMessage"]
