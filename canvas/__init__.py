"""The faithful copy of Canvas: client, resources, sync engine, models and console."""
