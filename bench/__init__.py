"""How fast the program is, side by side with the manual procedure and with what else copies, in the sandbox."""
