"""Keys for an installation that sets none: made once, kept beside the database, readable by us only."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path


def read_or_make_key(path: Path, *, size: int = 32) -> str:
    """Return the key stored in `path`, making it (`size` random bytes, URL-safe base64) on first use.

    Two processes starting at once agree on one key: the file is linked into place whole, and the
    loser reads the winner's.
    """
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(size)).decode())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
