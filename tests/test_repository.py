"""What must hold for the repository as a whole: locks, variables, commands, links, no trace of a machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")
# Folders that belong to one machine. Written so that this file does not name them itself.
MACHINE_PATH = re.compile(r"/(?:home|root|Users|work)/\w")
MARKDOWN_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
INLINE_PATH = re.compile(r"`((?:docs|config|canvas|syncmetrics|sandbox|easel|tests|scripts|bench)/[\w./-]+)`")


def tracked_files() -> list[Path]:
    """Return what is committed or about to be: everything git does not ignore."""
    # A checkout may belong to another account than the one that tests it.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    command = [*git, "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def read_text(file: Path) -> str:
    """Return a file's text; pictures and the like have none."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_host_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"--(?:extra-)?index-url|--find-links|--trusted-host", text)
    requirements = re.findall(r"^[a-z0-9][\w.-]*(?:\[[\w,-]+\])?==.*(?:\n    --hash.*)*", text, re.MULTILINE)
    assert requirements
    assert [one for one in requirements if "--hash=sha256:" not in one] == []


def test_development_lock_agrees_with_the_runtime_lock() -> None:
    pins = [set(re.findall(r"^(\S+==\S+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS]
    assert pins[0] - pins[1] == set()


def read_variables() -> set[str]:
    """Return the names of the environment variables that the settings read."""
    text = "".join((ROOT / file).read_text() for file in ("config/settings.py", "easel/environment.py"))
    return set(re.findall(r"""\benv(?:\.\w+)?\(\s*["'](\w+)["']""", text))


def test_env_example_lists_exactly_the_variables_settings_read() -> None:
    listed = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(read_variables())


def test_configuration_page_explains_every_variable() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    assert [name for name in sorted(read_variables()) if f"`{name}`" not in page] == []


def management_commands() -> list[str]:
    """Return the names of the project's own commands."""
    return sorted(
        file.stem for file in ROOT.glob("*/management/commands/*.py") if not file.stem.startswith("_")
    )


@pytest.mark.parametrize("command", management_commands())
def test_command_has_a_test_and_a_place_in_the_docs(command: str) -> None:
    tests = [file for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    assert any(command in read_text(file) for file in tests), f"no test names {command}"
    assert f"`{command}`" in (ROOT / "docs/commands.md").read_text()


def test_no_file_names_a_folder_of_one_machine() -> None:
    found = {
        str(file.relative_to(ROOT)): match.group()
        for file in tracked_files()
        if (match := MACHINE_PATH.search(read_text(file)))
    }
    assert found == {}


def broken_links(page: Path) -> list[str]:
    """Return the relative links and the named project files of a page that lead nowhere."""
    text = page.read_text()
    links = [link.split("#")[0] for link in MARKDOWN_LINK.findall(text) if not re.match(r"\w+:|#", link)]
    missing = [link for link in links if not (page.parent / link).exists()]
    return missing + [path for path in INLINE_PATH.findall(text) if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    "document", [file for file in tracked_files() if file.suffix == ".md"], ids=lambda file: file.name
)
def test_links_of_a_document_resolve(document: Path) -> None:
    assert broken_links(document) == []


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text()
    linked = {link.split("#")[0] for link in MARKDOWN_LINK.findall(index)}
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {"index.md"}


def test_every_make_target_is_listed_with_a_comment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+) +\S", listed, re.MULTILINE) == phony.group(1).split()
