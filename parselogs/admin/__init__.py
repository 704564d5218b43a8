"""The console's pages of uploaded files, the runs that parsed them with their logs, and batches of runs.

`config` registers them: it knows who is limited to which Canvas sites, and how lists are exported.
"""
