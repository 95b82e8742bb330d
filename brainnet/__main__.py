"""``python -m brainnet``: the command line."""

from brainnet.cli import main

if __name__ == "__main__":
    main()
