"""A module per command; each has ``run``."""
