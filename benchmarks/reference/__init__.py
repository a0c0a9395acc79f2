"""Straightforward implementations of the paper's description, which compute the same as the kit."""
