"""``python -m lightclient_cli``."""

from lightclient_cli.main import main

if __name__ == "__main__":
    main(prog_name="python -m lightclient_cli")
