"""docs/parsers.md says what the declarations say."""

from __future__ import annotations

import ast
from pathlib import Path

from parselogs.parsers import reference

ROOT = Path(__file__).resolve().parents[3]


def test_page_holds_the_generated_tables() -> None:
    page = (ROOT / "docs/parsers.md").read_text(encoding="utf-8")
    assert reference.markdown() in page, (
        "run `python -m parselogs.parsers.reference` and paste what it prints"
    )


def test_parsers_import_no_django() -> None:
    for file in (ROOT / "parselogs/parsers").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            allowed = ("parselogs.parsers", "easel.redaction")
            assert not [name for name in names if name.startswith("django")], file
            assert all(
                name.startswith(allowed) for name in names if name.startswith(("parselogs", "easel"))
            ), file
