"""What the logs of the syncs say, counted: reading, aggregating, reporting."""
