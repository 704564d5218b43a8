"""What a run found: its parts with their counts, and the first findings of each code."""

from __future__ import annotations

from django.db import models

from parselogs.models.runs import ParseFileMeta


class ParsedPart(models.Model):
    """One file within an upload, as a run read it: the upload itself, or a member of its zip."""

    run = models.ForeignKey(ParseFileMeta, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveIntegerField(help_text="In the order in which they were read.")
    name = models.CharField(max_length=255, help_text="As shown; never used as a path.")
    kind = models.CharField(max_length=40, blank=True)
    parser = models.CharField(max_length=100, blank=True)
    parser_version = models.CharField(max_length=40, blank=True)
    rows_read = models.BigIntegerField(default=0)
    rows_accepted = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "parsed file"
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="parsedpart_position_once")]

    def __str__(self) -> str:
        return self.name


class RowMessage(models.Model):
    """One finding of a run, without any value of the file; so many of each code, and no more."""

    class Severity(models.TextChoices):
        """How bad it is: the file is not read, the row is not, or it is, with a doubt."""

        FILE = "file", "File not read"
        ROW = "row", "Row rejected"
        WARNING = "warning", "Warning"

    run = models.ForeignKey(ParseFileMeta, on_delete=models.CASCADE, related_name="messages")
    file = models.CharField(max_length=255, blank=True, help_text="The part it is in.")
    row = models.BigIntegerField(null=True, blank=True, help_text="Counted from 1, the header.")
    column = models.CharField(max_length=255, blank=True)
    code = models.CharField(max_length=60)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    detail = models.JSONField(default=dict, blank=True, help_text="Lengths and limits, never a cell.")

    class Meta:
        verbose_name = "finding"
        ordering = ["run", "pk"]
        indexes = [models.Index(fields=["run", "code", "id"], name="rowmessage_run_code")]

    def __str__(self) -> str:
        return f"{self.code} in row {self.row}" if self.row else self.code
