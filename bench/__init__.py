"""Measurements.  Each compares two ways in one run, for machines differ, and differ from hour to hour."""
