"""This package has what a stack is made of: settings, the store, and the host."""
