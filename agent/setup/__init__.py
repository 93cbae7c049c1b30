"""This room puts things on the server, takes them away, and sees what differs from what was laid."""
