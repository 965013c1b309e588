"""A file with secrets that an option names: read at the start, and again when it changes. It is never shown."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Generic, TypeVar

from fanout_app.core.errors import OptionError

logger = logging.getLogger("fanout.watched_file")

T = TypeVar("T")


class WatchedFile(ABC, Generic[T]):
    """What is in it, as long as it can be used; subclasses know the form."""

    #: The option that names it, what it holds, and what has to be in it, for messages.
    OPTION: str
    HOLDS: str
    REMEDY: str

    def __init__(self, path: str) -> None:
        self._path: Final = path
        #: What it held when it could be used last.
        self.in_use: T
        self._fault = ""

    def read(self) -> T:
        """What to start with.

        Raises:
            OptionError: the file cannot be used; the message says which line is wrong and how it should be.
        """
        self.in_use = self._read()
        return self.in_use

    def changed(self) -> T | None:
        """What the file holds now, if that can be used and is not in use; to be asked again and again.

        A file that cannot be used is said once, and changes nothing: a rotation that went wrong must not make every
        secret in the hands of clients worthless.
        """
        try:
            now = self._read()
        except OptionError as error:
            if self._fault != str(error):
                logger.error("%s; the %s read before stay in use", error, self.HOLDS)
            self._fault = str(error)
            return None
        mended, self._fault = self._fault, ""
        if now == self.in_use:
            if mended:
                logger.info("%s can be used again, its %s are those in use", self._named, self.HOLDS)
            return None
        logger.info("%s was read again: %s", self._named, self._compared(self.in_use, now))
        self.in_use = now
        return now

    @abstractmethod
    def _parsed(self, content: bytes) -> T:
        """Raises OptionError, made by `_wrong`."""

    @abstractmethod
    def _compared(self, before: T, now: T) -> str:
        """What a change means, without showing any of it."""

    def _wrong(self, what: str) -> OptionError:
        return OptionError(f"{self._named}{what}")

    @property
    def _named(self) -> str:
        return f"{self.OPTION} {self._path}"

    def _read(self) -> T:
        try:
            content = Path(self._path).read_bytes()
        except OSError as error:
            raise self._wrong(f" cannot be read ({error.strerror}): {self.REMEDY}") from error
        return self._parsed(content)
