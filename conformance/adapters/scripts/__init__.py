"""How the calls of each implementation are written in a script of one's own; imports no framework."""
