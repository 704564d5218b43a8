"""Who may do what with uploaded files, their runs and the logs of these, beside looking at the lists."""

from __future__ import annotations

MAY_READ_LOGS = "parselogs.view_parselog"
MAY_DOWNLOAD_LOGS = "parselogs.download_parselog"
MAY_DOWNLOAD_FILES = "parselogs.download_datafile"
MAY_DELETE_FILES = "parselogs.delete_datafile"
MAY_REPARSE = "parselogs.reparse_datafile"
