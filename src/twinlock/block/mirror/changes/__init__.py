"""Changes of a running array: who takes part, how many places there are, how large it is.

Each is one or more commits, and every commit leaves what md understands.
"""
