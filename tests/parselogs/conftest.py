"""Storage, spool and S3 of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import NEEDS_S3, S3Server, ServerMissing

MARKS = "tests.parselogs.marks.PARSER"


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    """Keep what a test stores in its own folder."""
    settings.PARSE_SPOOL_DIR = tmp_path / "spool"
    local = settings.STORAGES["uploads"]
    options = local["OPTIONS"] | {"location": tmp_path / "uploads"}
    settings.STORAGES = settings.STORAGES | {"uploads": local | {"OPTIONS": options}}
    settings.PARSELOGS_PARSERS = [MARKS]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 for all tests of this process."""
    try:
        server = S3Server()
    except ServerMissing:
        pytest.skip(NEEDS_S3)
    yield server
    server.stop()


class S3:
    """The bucket as this test's storage."""

    def __init__(self, server: S3Server, settings: Any) -> None:
        """Keep everything below a folder of the test's own."""
        self.server, self.prefix = server, uuid.uuid4().hex
        self._settings = settings
        self.use()

    def use(self, **options: Any) -> None:
        """Make it the storage of uploads, with other options than usual."""
        given = {
            "bucket_name": self.server.bucket,
            "endpoint_url": self.server.url,
            "region_name": "us-east-1",
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
            "location": self.prefix,
            "path_addressing": True,
            "connect_timeout_seconds": 20.0,
            "read_timeout_seconds": 20.0,
            "tries": 1,
            "querystring_expire": 120,
            "file_overwrite": True,
        }
        backend = {"BACKEND": "parselogs.storage_s3.UploadsS3Storage", "OPTIONS": given | options}
        self._settings.STORAGES = self._settings.STORAGES | {"uploads": backend}

    def pause(self) -> None:
        """Let it answer nothing, and let nobody wait long for that."""
        self.use(connect_timeout_seconds=1.0, read_timeout_seconds=1.0)
        self.server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.server.resume()
        self.use()

    def objects(self) -> dict[str, bytes]:
        """Return what is in the bucket, by name."""
        client = self.server.client()
        listed = client.list_objects_v2(Bucket=self.server.bucket, Prefix=self.prefix).get("Contents", [])
        return {
            one["Key"].removeprefix(f"{self.prefix}/"): client.get_object(
                Bucket=self.server.bucket, Key=one["Key"]
            )["Body"].read()
            for one in listed
        }


@pytest.fixture
def s3(s3_server: S3Server, settings: Any) -> Iterator[S3]:
    """S3 as the storage of uploads."""
    yield S3(s3_server, settings)
    s3_server.resume()
