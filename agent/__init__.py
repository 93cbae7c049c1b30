"""This package is the agent that runs on the server: Python 3.9+, the standard library only, shipped as one zipapp.

docs/architecture.md says which rooms it has and who may import whom; tests/unit/test_rooms.py keeps it so.
"""
