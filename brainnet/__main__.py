"""``python -m brainnet``: the command line."""

from brainnet.cli.app import command_line

if __name__ == "__main__":
    command_line()
