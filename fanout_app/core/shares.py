"""Which group is next: smooth weighted round robin, counted in messages.

Each message raises the claim of every group that could have had it by the group's weight, and lowers that of the group
that did by the sum of those weights; the highest claim is next. So shares are exact over a round and spread evenly
inside it: 3 to 1 is A A B A, not A A A B. The method is known from nginx's upstream balancing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Shares:
    """The claims of all groups. Whoever cannot be served at the moment gathers none."""

    def __init__(self) -> None:
        self._claims: dict[str, int] = {}

    def order(self, groups: Sequence[str], weights: Mapping[str, int]) -> Sequence[str]:
        """These groups, the one whose turn it is first."""
        if len(groups) < 2:
            return groups
        return sorted(groups, key=lambda group: self._claims.get(group, 0) + weights[group], reverse=True)

    def served(self, group: str, messages: int, groups: Sequence[str], weights: Mapping[str, int]) -> None:
        """One of these groups was handed so many messages."""
        if len(groups) < 2:
            return
        for name in groups:
            self._claims[name] = self._claims.get(name, 0) + weights[name] * messages
        self._claims[group] -= sum(weights[name] for name in groups) * messages
