"""One root for every error of ours; a message says what is wrong and what to do about it."""

from __future__ import annotations


class FanoutError(Exception):
    """Something fanout itself found wrong."""


class RowError(FanoutError):
    """A ledger row cannot be used as it stands; going on without it could lose what it settled."""


class OptionError(FanoutError):
    """An option is missing, malformed or contradicts another one."""


class StartError(FanoutError):
    """The worker cannot start; the message is the one line a person sees."""


class UnansweredError(StartError):
    """The servers that a start needs do not answer: the same start may go well a moment later."""


class LeasesLiveError(FanoutError):
    """A seek would take messages away from clients that hold them."""


class NotOwnedError(FanoutError):
    """The partition is not this worker's, or is moving at the moment."""


class UnavailableError(FanoutError):
    """Kafka does not take or does not answer what this needs; the same may go well a moment later."""


class RefusedError(FanoutError):
    """A wish that makes no sense as things are. The text begins with the field that is at fault and a colon."""


class OutdatedError(FanoutError):
    """Somebody else has changed it since it was read."""


class GroupsFullError(FanoutError):
    """As many groups as there can be have a ledger of their own; the same may go well when one of them has gone."""
