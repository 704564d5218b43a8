"""Pure modules that more than one app needs: ids, redaction. No models, no settings."""
