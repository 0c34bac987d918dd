"""Taking over what mdadm, cryptsetup and others made: judged read-only, then used in place.

``facts`` are the messages, ``kinds`` what is refused by name, ``contents`` what lies on a
device or in an array, ``array`` and ``single`` the two layouts, ``take_over`` puts it together.
"""
