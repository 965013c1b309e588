"""A file that holds one password."""

from __future__ import annotations

from pathlib import Path

from fanout_app.core.errors import OptionError


def secret_in(path: str, option: str) -> str:
    """The password in the file that this option names; the end of its line is no part of it.

    Raises:
        OptionError: the file cannot be read, or does not hold one password; nothing of what it holds is shown.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise OptionError(f"{option} {path} is not UTF-8: write the password into it, in one line") from None
    except OSError as error:
        raise OptionError(f"{option} {path} cannot be read ({error.strerror}): write the password into it") from error
    if len(lines) != 1 or not lines[0]:
        raise OptionError(f"{option} {path} has to hold the password in one line, and nothing else")
    return lines[0]
