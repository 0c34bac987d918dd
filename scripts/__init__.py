"""What `make` runs besides the program."""
