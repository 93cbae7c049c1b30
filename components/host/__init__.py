"""This package is the server: the connection to it, what is asked of it, and the three commands that change it."""
