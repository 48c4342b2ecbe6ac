"""Whose turn it is to be sent to a site."""

from __future__ import annotations

from operators.dispatch.turns import Turns


def test_a_few_jobs_of_a_site_are_in_hand_and_the_others_follow_in_their_order() -> None:
    going = set("abcdef")
    turns = Turns(2, lambda uid: uid in going)
    assert [turns.take("lumi", uid) for uid in "abcde"] == [True, True, False, False, False]
    assert turns.take("lumi", "a")
    assert turns.take("jupiter", "f")
    assert turns.next() == set()
    going -= {"a", "b"}
    assert turns.next() == {"c", "d"}
    assert turns.take("lumi", "c")
    # One that does not come when it is its turn holds nobody up.
    assert turns.next() == {"e"}
    assert turns.take("lumi", "e")


def test_who_is_gone_or_forgotten_is_not_waited_for() -> None:
    going = set("abc")
    turns = Turns(1, lambda uid: uid in going)
    assert [turns.take("lumi", uid) for uid in "abc"] == [True, False, False]
    turns.leave("b")
    going.discard("a")
    assert turns.next() == {"c"}
    turns.clear()
    assert turns.next() == set()
