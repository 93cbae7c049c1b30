"""The agent that runs on the server: Python 3.9+, standard library only, shipped as one zipapp."""

#: Raised with each change of the agent; the stack shows it in the command that installs the agent.
VERSION = "0.1.0"
