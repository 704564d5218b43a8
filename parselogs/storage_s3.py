"""S3 as the storage of uploads: every call with time limits and so many tries."""

from __future__ import annotations

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class UploadsS3Storage(S3Storage):  # type: ignore[misc]  # django-storages has no types
    """An S3 bucket that only we reach: private objects, signed links that end soon."""

    def __init__(
        self,
        *,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        tries: int,
        path_addressing: bool,
        **options: Any,
    ) -> None:
        """Take django-storages' options, and the limits of each call."""
        config = Config(
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            retries={"mode": "standard", "total_max_attempts": tries},
            s3={"addressing_style": "path" if path_addressing else "auto"},
            signature_version="s3v4",
        )
        super().__init__(client_config=config, **options)

    def _get_write_parameters(self, name: str, content: Any = None) -> dict[str, Any]:
        """Store what is compressed as what it is: a browser that unpacked it would keep a false name."""
        parameters: dict[str, Any] = super()._get_write_parameters(name, content)
        if parameters.pop("ContentEncoding", None):
            parameters["ContentType"] = "application/gzip"
        return parameters
