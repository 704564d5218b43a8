"""Where uploaded files and the logs of their runs are kept: a local folder, or S3 by settings."""

from __future__ import annotations

from typing import Any

from django.core.files.storage import Storage, storages

ALIAS = "uploads"


class UploadsStorage(Storage):
    """What `STORAGES["uploads"]` names, asked for at each use: a command that needs none loads no boto3."""

    def __getattribute__(self, name: str) -> Any:
        """Return what the storage of the settings has by that name."""
        if name.startswith("__"):
            return super().__getattribute__(name)
        return getattr(storages[ALIAS], name)


_UPLOADS = UploadsStorage()


def uploads() -> Storage:
    """Return the storage of uploaded files and of what belongs to them."""
    return _UPLOADS
