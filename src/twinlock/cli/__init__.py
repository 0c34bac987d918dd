"""The command line: asks the daemon's API, and says what came of it."""
