"""Where this installation is, and its environment: read by the settings, and by commands that need no Django.

Importing `config` loads Celery, and its settings load Django; `analyze_logs` starts before either.
"""

from __future__ import annotations

import os
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(os.environ.get("EASEL_ENV_FILE") or BASE_DIR / ".env")

# Everything Easel writes without being told where: database, keys, private servers.
VAR_DIR = Path(env.str("EASEL_VAR_DIR", default=str(BASE_DIR / "var")))

_LOGS_ROOT = VAR_DIR.resolve() if env.str("EASEL_VAR_DIR", default="") else BASE_DIR
CANVAS_SYNC_LOG_DIR = BASE_DIR / (
    env.str("CANVAS_SYNC_LOG_DIR", default="") or _LOGS_ROOT / "logs" / "canvas_sync"
)
"""The folder of the five logs."""
