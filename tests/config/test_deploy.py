"""The examples in `deploy/`: what they start is there, what they set is known."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installation import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def variables(path: Path) -> set[str]:
    return set(re.findall(r"^#? ?([A-Z_]+)=", path.read_text(), flags=re.MULTILINE))


@pytest.mark.sqlite
def test_gunicorn_takes_its_configuration(own_site: dict[str, str]):
    command = ["-m", "gunicorn", "--check-config", "-c", str(DEPLOY / "gunicorn.conf.py"), "config.wsgi"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=own_site, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_unit_for_each_part():
    assert [unit.stem for unit in UNITS] == ["easel-beat", "easel-web", "easel-worker"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_what_is_installed(unit: Path):
    commands = re.findall(r"^ExecStart(?:Pre)?=/srv/easel/(\S+)(?: (\S+\.py))?", unit.read_text(), flags=re.M)
    assert commands
    for program, script in commands:
        assert (Path(sys.executable).parent / Path(program).name).exists()
        assert not script or (ROOT / script).exists()
    assert "Restart=always" in unit.read_text()


def test_the_example_of_variables_names_known_ones():
    assert variables(DEPLOY / "easel.env.example") <= variables(ROOT / ".env.example")
