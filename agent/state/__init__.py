"""This room is what the server remembers: the journal, the lock, and the run that is under way."""
