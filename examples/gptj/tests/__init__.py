"""Tests of the example, run from its directory: python -m unittest."""
