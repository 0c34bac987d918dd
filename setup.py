"""Builds the one compiled module; everything else is in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["src/twinlock/native/build.py:ffibuilder"])
