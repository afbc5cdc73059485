"""Whole studies: a frozen specification and a runner each."""
