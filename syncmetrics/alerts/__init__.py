"""Incidents and who is told of them: what went wrong, the messages, the channels, the sending."""
