"""The commands that wire everything together."""
