"""Uploads on their way in: what is larger than any file may be is refused before it fills the disk."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

from parselogs.uploads import limit_bytes

FORM_BYTES = 1_000_000
"""What a form may hold beside its file. A file within it of the limit is measured when it is there."""
DRAINED_BYTES = 20_000_000
"""What is refused is read and dropped where it is beyond the limit by no more than this, so that every client
hears the answer. Beyond it that would hold a process for long: the connection ends, which some see alone."""


class LimitHandler(FileUploadHandler):
    """The first of FILE_UPLOAD_HANDLERS: lets files pass to those after it, or stops the request.

    Stopped are requests longer than UPLOAD_MEGABYTES allows, and files of people who have not logged in.
    """

    too_large = False

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Take note of the request's length, which its body cannot exceed."""
        self._beyond = content_length - limit_bytes() - FORM_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Stop the request, or let the file pass."""
        super().new_file(*args, **kwargs)
        if not _has_logged_in(self.request):
            raise StopUpload(connection_reset=True)
        if self._beyond > 0:
            self.too_large = True
            raise StopUpload(connection_reset=self._beyond > DRAINED_BYTES)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass on what came."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the handlers that have taken it."""


def is_too_large(request: HttpRequest) -> bool:
    """Tell whether files were left out of a request because it is too long; its body has been read."""
    return any(isinstance(one, LimitHandler) and one.too_large for one in request.upload_handlers)


def _has_logged_in(request: HttpRequest | None) -> bool:
    user = getattr(request, "user", None)
    return user is None or user.is_authenticated
