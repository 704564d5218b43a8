"""The parsers there are, in the order in which files of an archive are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from parselogs.parsers import provisioning, sis
from parselogs.parsers.findings import Code
from parselogs.parsers.gradebook import GradebookParser
from parselogs.parsers.parser import Parser, TableParser, codes_of
from parselogs.parsers.tables import Table


class Registry:
    """Parsers in order: the first that recognises a header reads the file."""

    def __init__(self, parsers: Iterable[Parser | Table]) -> None:
        self._parsers = [TableParser(each) if isinstance(each, Table) else each for each in parsers]
        self.codes: dict[str, Code] = {}
        """What the codes mean that parsers declare; of two that declare the same one, the first says it."""
        for parser in reversed(self._parsers):
            self.codes.update(codes_of(parser))

    def __iter__(self) -> Iterator[Parser]:
        return iter(self._parsers)

    def recognise(self, header: Sequence[str]) -> Parser | None:
        """Return the parser of a header (stripped, lower case), or None."""
        return next((parser for parser in self._parsers if parser.recognises(header)), None)

    def place(self, parser: Parser) -> int:
        """Return the parser's place in the order."""
        return self._parsers.index(parser)

    def extended(self, parsers: Iterable[Parser | Table]) -> Registry:
        """Return a registry with more parsers, which are asked before these."""
        return Registry([*parsers, *self._parsers])


# Reports first: their headers have the columns of an import file beside Canvas's own ids.
DEFAULT = Registry([*provisioning.TABLES, GradebookParser(), *sis.TABLES])
