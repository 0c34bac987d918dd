"""A CRC32C for every 4 KiB of a member: what was rotten is noticed, and never delivered."""
