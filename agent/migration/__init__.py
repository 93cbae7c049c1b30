"""This room has the transitions between phases. No other room needs it but the commands."""
