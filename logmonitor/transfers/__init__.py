"""The logs of SFTPGo, followed exactly once: which files, which lines, and what they say."""
