"""This room has words and values for every room: phases, settings, names, errors, protocols. It does no I/O."""
