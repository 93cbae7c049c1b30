"""Stands in for the published `command` plugin 1.2.1, as far as its behaviour can be seen."""
