"""Settings, URLs and wiring of the whole project."""
