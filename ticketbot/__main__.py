"""`python -m ticketbot` is the `ticketbot` command."""

from ticketbot.cli import main

if __name__ == "__main__":
    main()
