"""I4 and the choice of a primary, against brute force over everything that could have been acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.model.reports import KeeperReport
from common.model.view import ClusterView, Member, Primary, SyncMember, SyncSet, SyncState
from sentinel.decide.choice import choose_primary
from sentinel.decide.observed import Observed
from tests.support import healthy
from tests.support.builders import LINEAGE, Scene, at, position

OLD = "old"
UIDS = ("a", "b", "c", "d", "e")
FLOOR = 4
END = 9
"""Where the old primary's WAL ends; positions of the others lie at or before it, on timeline 2."""


def life(uid: str) -> SyncMember:
    return SyncMember(uid, f"0000000{(OLD, *UIDS).index(uid)}")


@dataclass(frozen=True)
class World:
    """What is true: who had flushed how far when the primary was lost, and who has sealed of them."""

    sets: tuple[SyncSet, ...]
    flushed: dict[str, int]
    sealed: frozenset[str]
    old_sealed: bool

    @property
    def acknowledged(self) -> int:
        """The furthest commit that could have been: some ``k`` members of one set had all flushed it."""
        could = [
            min(self.flushed[member.uid] for member in group)
            for each in self.sets
            for group in combinations(sorted(each.members), each.k)
        ]
        return max([FLOOR, *could])

    def still_to_come(self) -> bool:
        """Whether members that have not sealed could still acknowledge something new."""
        return any(
            group
            for each in self.sets
            for group in combinations(sorted(each.members), each.k)
            if not {member.uid for member in group} & self.sealed
        )

    def observed(self) -> tuple[Observed, ClusterView]:
        view = healthy.view(
            phase="sealing",
            term=5,
            primary=None,
            old_primary=Primary(uid=OLD, incarnation=life(OLD).incarnation, timeline=2, fork=at(3)),
            route=None,
            members=tuple(
                Member(uid=uid, site="x", host="h", port=1, incarnation=life(uid).incarnation)
                for uid in (OLD, *UIDS)
            ),
            sync=SyncState(current=self.sets[0], pending=self.sets[1:]),
            lineage=LINEAGE,
            floor=at(FLOOR),
        )
        scene = Scene(view=view, keepers={uid: report(uid) for uid in (OLD, *UIDS)})
        for uid in self.sealed:
            scene.seals(uid, self.flushed[uid])
        if self.old_sealed:
            scene.seals(OLD, END)
        else:
            scene.gone(OLD)
        scene.holds("sealing:5")
        return scene.observed(), view


def report(uid: str) -> KeeperReport:
    return healthy.keeper("sandun-2").changed(
        uid=uid, incarnation=life(uid).incarnation, sealed_term=4, upstream=None
    )


@st.composite
def sync_sets(draw: st.DrawFn) -> tuple[SyncSet, ...]:
    """A set in force and the changes under way."""
    drawn = st.tuples(st.sets(st.sampled_from(UIDS), max_size=5), st.integers(1, 2))
    found = draw(st.lists(drawn, min_size=1, max_size=3))
    return tuple(
        SyncSet(id=number, k=k, members=frozenset(map(life, uids))) for number, (uids, k) in enumerate(found)
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return World(
        sets=draw(sync_sets()),
        flushed={uid: draw(st.integers(2, END)) for uid in UIDS},
        sealed=frozenset(draw(st.sets(st.sampled_from(UIDS)))),
        old_sealed=draw(st.booleans()),
    )


@settings(max_examples=150)
@given(worlds())
def test_whoever_is_chosen_holds_all_that_could_have_been_acknowledged(world: World) -> None:
    """Truth is computed from every group of ``k`` members of every set in force."""
    choice = choose_primary(*world.observed())
    assume(choice.candidate is not None)

    assert choice.candidate is not None
    assert choice.candidate.agreed >= at(world.acknowledged)
    assert choice.candidate.agreed >= choice.least >= at(FLOOR)


@settings(max_examples=150)
@given(worlds())
def test_from_the_choice_on_nothing_new_can_be_acknowledged(world: World) -> None:
    """Every group that could acknowledge has a sealed member, or the old primary itself has sealed (I4)."""
    choice = choose_primary(*world.observed())
    assume(choice.candidate is not None)

    assert world.old_sealed or not world.still_to_come()


@settings(max_examples=150)
@given(worlds())
def test_nobody_waits_who_need_not(world: World) -> None:
    """Where nothing new can come and a sealed member is safe, somebody is chosen."""
    choice = choose_primary(*world.observed())
    could = [each for each in world.sets if len(each.members) >= each.k]
    counted = {member.uid for each in could for member in each.members} & world.sealed
    safe_from = max([FLOOR, *(world.flushed[uid] for uid in counted)])
    safe = [uid for uid in world.sealed if world.flushed[uid] >= safe_from]

    if world.old_sealed or (safe and not world.still_to_come()):
        assert choice.candidate is not None
    if choice.candidate is None:
        assert choice.reason.severity == "critical"


@settings(max_examples=150)
@given(worlds())
def test_the_old_primary_is_chosen_only_where_nobody_else_is_safe(world: World) -> None:
    """It has every commit, and it is the one that just failed."""
    choice = choose_primary(*world.observed())
    assume(choice.candidate is not None)

    assert choice.candidate is not None
    if choice.candidate.uid == OLD:
        assert not [uid for uid in world.sealed if at(world.flushed[uid]) >= choice.least]


@given(sync_sets(), st.sets(st.sampled_from(UIDS)))
def test_a_quorum_intersects_every_group_that_can_acknowledge(
    sets: tuple[SyncSet, ...], sealed: set[str]
) -> None:
    """And it is the smallest number that does: with one member fewer some group is free."""
    for each in sets:
        members = sorted(each.members)
        present = [member for member in members if member.uid in sealed]
        groups = list(combinations(members, each.k))
        if len(present) >= each.quorum:
            assert all(set(group) & set(present) for group in groups)
        if each.quorum:
            fewer = set(members[: each.quorum - 1])
            assert any(not set(group) & fewer for group in groups)


def test_the_positions_of_the_model_lie_on_the_lineage() -> None:
    """So that an agreed position is the flushed one."""
    choice = choose_primary(
        *World(
            sets=(SyncSet(id=1, k=1, members=frozenset({life("a")})),),
            flushed=dict.fromkeys(UIDS, 7),
            sealed=frozenset({"a"}),
            old_sealed=False,
        ).observed()
    )

    assert choice.candidate is not None
    assert choice.candidate.position == position((1, 3), (2, 7))
    assert choice.candidate.agreed == at(7)
