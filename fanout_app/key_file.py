"""The file of lease keys: one key a line, the first signs, all count. Keys are never shown, by number at most."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from fanout_app.core.errors import OptionError

logger = logging.getLogger("fanout.key_file")

#: Fewer random characters than this can be guessed by whoever holds a token.
_SHORTEST = 32
_PRINTABLE = re.compile(rb"[!-~]+")


class KeyFile:
    """Reads the keys, and reads them again when they change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._in_use: list[bytes] = []
        self._fault = ""

    def read(self) -> list[bytes]:
        """The keys to start with.

        Raises:
            OptionError: there is no usable key; the message says which line is wrong and how it should be.
        """
        self._in_use = self._read()
        return self._in_use

    def changed(self) -> list[bytes] | None:
        """The keys the file holds now, if they are usable and not those in use; to be asked again and again.

        A file that cannot be used is said once, and changes nothing: a rotation that went wrong must not make every
        token in the hands of clients worthless.
        """
        try:
            keys = self._read()
        except OptionError as error:
            if self._fault != str(error):
                logger.error("%s; the lease keys read before stay in use", error)
            self._fault = str(error)
            return None
        if keys == self._in_use:
            if self._fault:
                logger.info("--lease-key-file %s can be used again, its keys are those in use", self._path)
            self._fault = ""
            return None
        self._fault = ""
        kept = len(set(keys) & set(self._in_use))
        signing = "another one signs" if keys[0] != self._in_use[0] else "the same one signs"
        logger.info(
            "--lease-key-file %s was read again: %d keys, %d of them known before, %s",
            self._path, len(keys), kept, signing,
        )  # fmt: skip
        self._in_use = keys
        return keys

    def _read(self) -> list[bytes]:
        try:
            content = Path(self._path).read_bytes()
        except OSError as error:
            raise OptionError(
                f"--lease-key-file {self._path} cannot be read ({error.strerror}): make it with one key a line, at "
                f"least {_SHORTEST} random characters each"
            ) from error
        keys: dict[bytes, None] = {}
        for number, line in enumerate(content.splitlines(), 1):
            key = line.strip()
            if not key:
                continue
            if not _PRINTABLE.fullmatch(key) or len(key) < _SHORTEST:
                raise OptionError(
                    f"--lease-key-file {self._path}: line {number} is no key: write at least {_SHORTEST} random "
                    "characters, printable ones without spaces"
                )
            keys[key] = None
        if not keys:
            raise OptionError(
                f"--lease-key-file {self._path} holds no key: write one a line, at least {_SHORTEST} random "
                "characters each; the first signs"
            )
        return list(keys)
