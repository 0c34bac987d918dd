"""Block devices: the straight line from plaintext to the members' media.

    crypt -> mirror -> file

Each layer is a :class:`twinlock.block.device.BlockDevice` over the one to its right.
"""
