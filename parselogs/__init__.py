"""Uploaded files, the runs that parse them, and a log for every one of these runs."""
