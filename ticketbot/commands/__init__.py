"""The groups of the `ticketbot` command: one module a noun."""
