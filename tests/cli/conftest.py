"""The command line as a test calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lightclient_cli.main import main

Command = Callable[..., Result]


@pytest.fixture
def command() -> Command:
    """Runs ``nimbus-light-client`` with the arguments given; whatever escaped it fails the test."""

    def run(*arguments: object, **options: Any) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], **options)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(
            result.exception
        )
        assert "Traceback" not in result.output
        return result

    return run
