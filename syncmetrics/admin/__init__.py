"""The console's pages of runs and of the job log."""
