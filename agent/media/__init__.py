"""This room says which files lie on both sides, which are equal, and which changed."""
