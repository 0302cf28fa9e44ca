"""Looks at the pictures people attach to tickets and says what they are, on the ticket, by itself."""

__version__ = "0.1.0"
