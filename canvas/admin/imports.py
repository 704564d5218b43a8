"""Importing settings on the console: a file is read, shown as a preview, and stored when confirmed."""

from __future__ import annotations

import base64
from typing import Any

from django.contrib import messages
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from import_export.admin import ImportMixin  # type: ignore[import-untyped]
from import_export.formats.base_formats import CSV, JSON  # type: ignore[import-untyped]
from import_export.resources import ModelResource  # type: ignore[import-untyped]
from import_export.tmp_storages import BaseStorage  # type: ignore[import-untyped]
from unfold.contrib.import_export.forms import ImportForm

from canvas.access import allowed_instances
from canvas.models import Instance

MOST_BYTES = 256 * 1024
"""Of a file with settings. No XLSX: a small one can unpack to gigabytes."""

PREVIEW_SECONDS = 3_600
_SALT = "easel.import"


class InTheForm(BaseStorage):  # type: ignore[misc]  # the library has no types
    """Keeps a file between preview and confirmation in the confirming form itself, signed.

    The library's own storage keeps it in the system's temporary folder, and would read and delete there
    whatever file the form names.
    """

    def save(self, data: bytes) -> None:
        """Keep the file; its name is its signed content."""
        self.name = signing.dumps(base64.b64encode(data).decode(), salt=_SALT)

    def read(self) -> bytes | str:
        """Return the file; BadSignature when it is not what was previewed."""
        data = base64.b64decode(signing.loads(self.name, salt=_SALT, max_age=PREVIEW_SECONDS))
        return data if "b" in self.read_mode else data.decode(self.encoding)

    def remove(self) -> None:
        """Nothing is kept."""


class SmallFileForm(ImportForm):  # type: ignore[misc]
    """Takes a file of a size that settings have."""

    def clean_import_file(self) -> Any:
        """Refuse what is too large to be settings."""
        file = self.cleaned_data["import_file"]
        if file.size > MOST_BYTES:
            raise ValidationError(f"At most {MOST_BYTES // 1024} KiB: this is no file of settings.")
        return file


class ImportPages(ImportMixin):  # type: ignore[misc]
    """A list into which a file can be imported, by those who may change the rows and are not limited."""

    import_resource: type[ModelResource]
    import_form_class = SmallFileForm
    import_template_name = "admin/easel/import.html"
    import_export_change_list_template = "admin/easel/change_list_export.html"
    import_formats = [CSV, JSON]
    tmp_storage_class = InTheForm

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may import."""
        return allowed_instances(request.user) is None and self.has_change_permission(request)

    def get_import_resource_classes(self, request: HttpRequest) -> list[type[ModelResource]]:
        """Return what the page says is imported."""
        return [self.import_resource]

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        """Say in words that the file cannot be read."""
        form.add_error("import_file", "The file cannot be read. Is it really of the format you chose?")

    def get_import_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Say where the confirming form leads."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_process_import"
        return {"process_url": reverse(name)}

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Store what was previewed."""
        try:
            response: HttpResponse = super().process_import(request, **kwargs)
        except signing.BadSignature:
            messages.error(
                request, "The preview is too old, or not the file that was shown. Import it again."
            )
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_import"
            return HttpResponseRedirect(reverse(name))
        return response


class InstanceSettings(ModelResource):  # type: ignore[misc]
    """Names of Canvas sites, found by their base URL, which is only read."""

    class Meta:
        model = Instance
        fields = ("base_url", "name")
        import_id_fields = ("base_url",)
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True
        use_transactions = True

    def init_instance(self, row: Any = None) -> Instance:
        """Refuse sites that are not there: connecting one needs a token, which is in no file."""
        base_url = (row or {}).get("base_url")
        raise ValueError(f"There is no instance with the base URL {base_url}: connect it first.")
