"""`python -m lamplighter_server.cli`."""

from lamplighter_server.cli import main

if __name__ == "__main__":
    main()
