"""Settings of the tests: the project's own, read under the variables of the throw-away installation."""

from __future__ import annotations

# The order matters: this import sets the variables which the next one reads.
import tests.installation  # noqa: F401  # isort: skip
from config.settings import *  # noqa: F403

# Accounts are made in many tests; a slow hash protects nobody there.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
