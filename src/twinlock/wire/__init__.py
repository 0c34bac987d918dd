"""Declarations of binary fields: what each byte on the wire means, and nothing that acts on it."""
