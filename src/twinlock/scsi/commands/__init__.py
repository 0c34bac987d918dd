"""The commands, a module for each group; each ends in its rows of the opcode table."""
