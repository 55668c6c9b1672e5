"""The hierarchical quorum system: a majority of groups, each by a majority of its weight."""

from collections.abc import Set as AbstractSet

import attrs


@attrs.frozen
class Hierarchical:
    """Groups of servers with weights. Source: ``QuorumHierarchical``.

    ``groups`` are (group number, its server ids in ascending order) and ``weights`` are
    (server id, weight), both in ascending order of number. An id without a weight weighs 0. A group whose
    weights sum up to 0 does not count at all.
    """

    voters: frozenset[int]
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    weights: tuple[tuple[int, int], ...]
    _weight: dict[int, int] = attrs.field(init=False, eq=False, repr=False)
    _group_of: dict[int, int] = attrs.field(init=False, eq=False, repr=False)
    _group_weight: dict[int, int] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        weight = dict(self.weights)
        group_of = {sid: group for group, sids in self.groups for sid in sids}
        group_weight = {group: sum(weight.get(sid, 0) for sid in sids) for group, sids in self.groups}
        object.__setattr__(self, "_weight", weight)
        object.__setattr__(self, "_group_of", group_of)
        object.__setattr__(self, "_group_weight", group_weight)

    def weight(self, sid: int) -> int:
        """Weight of a server; 0 for one that has none."""
        return self._weight.get(sid, 0)

    def has_weight(self, sid: int) -> bool:
        """Whether ``sid`` has a weight, be it 0."""
        return sid in self._weight

    def contains_quorum(self, acks: AbstractSet[int]) -> bool:
        """Whether ``acks`` hold more than half of the weight in more than half of the groups that count."""
        heard: dict[int, int] = {}
        for sid in acks:
            if (group := self._group_of.get(sid)) is not None:
                heard[group] = heard.get(group, 0) + self.weight(sid)
        won = sum(weight > self._group_weight[group] // 2 for group, weight in heard.items())
        counted = sum(weight != 0 for weight in self._group_weight.values())
        return won > counted // 2
