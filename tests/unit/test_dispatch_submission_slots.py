"""Whose turn it is to be sent to a site."""

from __future__ import annotations

from operators.dispatch.submission_slots import SubmissionSlots


def test_a_few_jobs_of_a_site_are_in_hand_and_the_others_follow_in_their_order() -> None:
    going = set("abcdef")
    submission_slots = SubmissionSlots(2, lambda uid: uid in going)
    assert [submission_slots.take("lumi", uid) for uid in "abcde"] == [True, True, False, False, False]
    assert submission_slots.take("lumi", "a")
    assert submission_slots.take("jupiter", "f")
    assert submission_slots.next() == set()
    going -= {"a", "b"}
    assert submission_slots.next() == {"c", "d"}
    assert submission_slots.take("lumi", "c")
    # One that does not come when it is its turn holds nobody up.
    assert submission_slots.next() == {"e"}
    assert submission_slots.take("lumi", "e")


def test_who_is_gone_or_forgotten_is_not_waited_for() -> None:
    going = set("abc")
    submission_slots = SubmissionSlots(1, lambda uid: uid in going)
    assert [submission_slots.take("lumi", uid) for uid in "abc"] == [True, False, False]
    submission_slots.leave("b")
    going.discard("a")
    assert submission_slots.next() == {"c"}
    submission_slots.clear()
    assert submission_slots.next() == set()
