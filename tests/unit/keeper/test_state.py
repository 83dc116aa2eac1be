"""What a keeper remembers of its promises and of the lives of its directory."""

from __future__ import annotations

from keeper.state import KeeperState
from keeper.steps import Life
from tests.support.builders import SHIQIAO_1, promotion, running_view

NEW = KeeperState(keeper_id="k")


def test_promises_never_become_less() -> None:
    """An older view or an earlier term changes nothing."""
    state = NEW.sealed(5).sealed(3).obeying(running_view(generation=9)).obeying(running_view(generation=4))

    assert (state.sealed_term, state.generation, state.term) == (5, 9, running_view().term)


def test_a_memory_comes_back_from_disk_as_it_was() -> None:
    """Lives and promotions included."""
    state = NEW.born("a", 1).completed().born("b", 2).changed(promotion=promotion(SHIQIAO_1, 2))

    assert KeeperState.model_validate(state.model_dump(mode="json")) == state


def test_a_new_life_is_sealed_for_its_term_and_incomplete() -> None:
    """What it is made of comes from the primary of that term."""
    state = NEW.born("a", 4)

    assert state.sealed_term == 4
    assert state.present_life == Life("a", 4, complete=False)
    assert state.completed().present_life == Life("a", 4, complete=True)


def test_an_unknown_directory_is_taken_as_complete() -> None:
    """A restored snapshot was a running server once; its position will be judged."""
    state = NEW.born("a", 1).completed().obeying(running_view()).found("x", "b")

    assert state.present_life == Life("b", running_view().term, complete=True)


def test_a_directory_that_an_interrupted_clone_left_is_as_complete_as_before() -> None:
    """It was in use when the clone began."""
    state = NEW.born("a", 1).completed().born("b", 2).found("a", "c")

    assert state.present_life == Life("c", 1, complete=True)


def test_a_directory_that_a_rewind_left_half_done_is_incomplete() -> None:
    """Whatever was known of it before; without a life there is nothing to spoil."""
    state = NEW.born("a", 1).completed().spoiled()

    assert state.present_life == Life("a", 1, complete=False)
    assert NEW.spoiled() == NEW


def test_a_clone_that_never_came_up_does_not_become_complete_by_a_second_one() -> None:
    """The second is interrupted, and the first lies there again: it still lacks WAL of its term."""
    state = NEW.born("a", 1).completed().born("b", 2).born("c", 3).found("b", "d")

    assert state.present_life == Life("d", 2, complete=False)


def test_to_die_while_the_found_life_is_written_down_changes_nothing() -> None:
    """The memory was written, the directory's marker was not: it is found once more."""
    state = NEW.born("a", 1).completed().born("b", 2).born("c", 3).found("b", "d").found("b", "e")

    assert state.present_life == Life("e", 2, complete=False)


def test_a_promotion_goes_with_its_directory_when_that_is_claimed() -> None:
    """Twice a clone was to replace it and failed, once no marker was written: it began there all the same."""
    begun = promotion(SHIQIAO_1, 2, finished=False).changed(incarnation="a")
    state = NEW.born("a", 1).completed().changed(promotion=begun).born("b", 2).found("a", "c")
    again = state.born("d", 3).found("c", "e").found("c", "f")

    assert state.promotion is not None
    assert again.promotion is not None
    assert state.promotion.lies_in("c")
    assert again.promotion.lies_in("f")
    assert not again.promotion.lies_in("d")


def test_a_promotion_is_not_carried_to_a_directory_in_which_it_never_began() -> None:
    """Only where the directory cannot say whose it was is the worst assumed."""
    begun = promotion(SHIQIAO_1, 2).changed(incarnation="a")
    kept = NEW.born("a", 1).completed().changed(promotion=begun).born("b", 2).completed()

    assert kept.found("b", "c").promotion == begun
    assert kept.found(None, "c").promotion == begun.carried("c")
