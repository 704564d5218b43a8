"""Log files: the five of the syncs, written, rotated, analysed and cleaned up. Nobody else opens one."""
