"""Every schedule of the small collisions: a hand-over against whatever may come between.

Each program runs under all schedules there are. A plain model explains each execution, each
value is accounted for, and the ends seen are exactly those that there should be.
"""

import gc
import weakref

import gevent
import pytest
from channel_plays import Play, Player, Thrown
from makers import routines
from simulating import played, played_in_every_order

from gowork import Job
from gowork.channels import seed
from gowork.errors import Cancelled
from gowork.testing import explore


def ends_of(program, *capacities, chances=1):
    """How the players of *program* may end, in the order they came; *chances*: of selects."""

    def run(chance):
        seed(chance)
        play = Play(*capacities)
        program(play)
        gevent.sleep(2)
        return play.conclude()

    return {ends for chance in range(chances) for ends in explore(run, chance).values}


# What comes to a player at time 1. At that time the others come, too.


def killed(play, call, *args):
    player = play.spawn(call, *args)
    gevent.spawn_later(1, player.kill)


def thrown_out(play, call, *args):
    player = play.spawn(call, *args)
    gevent.spawn_later(1, player.throw)


def late(play, call, *args):
    play.spawn(call, *args, 1)  # its own timeout


def timed_out(play, call, *args):
    play.spawn(call, *args, limit=1)


def cancelled(play, call, *args):
    player, job = Player(play), Job()
    job.add_task(routines(None, lambda task: (player.run(call, *args), task.done())))
    job.run()
    gevent.spawn_later(1, job.cancel)


TROUBLES = {
    killed: "GreenletExit",
    thrown_out: "Thrown",
    late: "late",
    timed_out: "Timeout",
}
in_trouble = pytest.mark.parametrize(("trouble", "end"), TROUBLES.items())
in_any_trouble = pytest.mark.parametrize(
    ("trouble", "end"), [*TROUBLES.items(), (cancelled, "Cancelled")]
)
thrown_in = pytest.mark.parametrize(
    ("trouble", "end"),
    [(killed, "GreenletExit"), (thrown_out, "Thrown"), (timed_out, "Timeout")],
)


def later(play, call, *args):
    return play.spawn(call, *args, delay=1)


def closed(play, which):
    gevent.spawn_later(1, play.close, which)


@in_any_trouble
def test_a_sender_in_trouble_has_sent_or_keeps_its_value(trouble, end):
    def program(play):
        trouble(play, play.send, 0)
        later(play, play.recv, 0)

    assert ends_of(program, 0) == {("sent", 1), (end, "waits")}


@in_any_trouble
def test_a_receiver_in_trouble_has_the_value_or_it_is_inside_or_still_the_senders(trouble, end):
    def program(play):
        trouble(play, play.recv, 0)
        later(play, play.send, 0)

    put_back = set() if trouble is late else {(end, "sent")}
    assert ends_of(program, 0) == {(1, "sent"), (end, "waits")} | put_back


@in_any_trouble
@pytest.mark.parametrize("recv", ["recv", "recv_nowait", "select"])
def test_a_receive_that_may_not_wait_has_a_value_that_is_sent(trouble, end, recv):
    tries = {
        "recv": lambda play: play.recv(0, timeout=0),
        "recv_nowait": lambda play: play.recv_nowait(0),
        "select": lambda play: play.select([("recv", 0)], timeout=0)[1] or "refused",
    }

    def program(play):
        trouble(play, play.send, 0)
        later(play, tries[recv], play)

    assert ends_of(program, 0) == {("sent", 1), (end, "refused")}


@thrown_in
@pytest.mark.parametrize("recv", ["recv", "recv_nowait"])
def test_what_comes_too_late_to_stop_a_send_comes_right_after_it(trouble, end, recv):
    def send_and_rest(play):
        end = play.send(0)
        gevent.sleep(0.5)
        return end

    def program(play):
        trouble(play, send_and_rest, play)
        later(play, getattr(play, recv), 0)

    refused = "waits" if recv == "recv" else "refused"
    assert ends_of(program, 0) == {(end, 1), (end, refused)}


def test_a_timeout_that_comes_too_late_to_stop_a_send_comes_once():
    def send_and_sleep(play):
        stopped = 0
        with gevent.Timeout(1):
            for call, argument in ((play.send, 0), (gevent.sleep, 0.5), (gevent.sleep, 3)):
                try:
                    call(argument)
                except gevent.Timeout:
                    stopped += 1
        return stopped

    def program(play):
        play.spawn(send_and_sleep, play)
        later(play, play.recv_nowait, 0)
        gevent.sleep(4)

    assert ends_of(program, 0) == {(1, 1), (1, "refused")}


def test_what_comes_too_late_to_stop_a_send_stops_the_next_that_waits():
    def send_twice(play):
        try:
            play.send(0)
            play.send(0)
        except Thrown:
            pass
        return len(play.sent) - play.sent_before

    def throw(play, player):
        if player.end == "waits":
            play.sent_before = len(play.sent)
            player.greenlet.throw(Thrown)

    def program(play):
        play.sent_before = 2
        player = play.spawn(send_twice, play)
        later(play, play.recv_nowait, 0)
        later(play, play.recv_nowait, 0)
        gevent.sleep(1)
        gevent.get_hub().loop.run_callback(throw, play, player)

    assert {ends[0] for ends in ends_of(program, 0)} == {0, 1}


def test_what_has_come_too_late_is_kept_no_longer():
    def program():
        play = Play(0)
        player = play.spawn(play.send, 0)
        gevent.sleep(0.1)
        player.kill()
        play.recv_nowait(0)
        assert play.conclude() == ("sent",)
        return weakref.ref(player.greenlet)

    greenlet = played(program)
    gc.collect()
    assert greenlet() is None


def test_a_task_that_must_stop_can_do_nothing_more():
    def go_on(play, ends):
        calls = [(play.recv, 0), (play.send, 0), (play.recv, 0), (play.select, [("recv", 0)])]
        for call, argument in calls:
            try:
                ends.append(call(argument))
            except Cancelled:
                ends.append("cancelled")
        return ends

    def program():
        play = Play(0)
        cancelled(play, go_on, play, [])
        gevent.sleep(2)
        return play.conclude()

    assert played(program) == (["cancelled"] * 4,)


@pytest.mark.parametrize("waits", ["send", "recv"])
def test_a_switch_from_elsewhere_is_no_answer(waits):
    def nudge(player):
        if player.end == "waits":
            player.greenlet.switch()

    def program(play):
        player = play.spawn(getattr(play, waits), 0)
        later(play, play.recv if waits == "send" else play.send, 0)
        gevent.sleep(1)
        gevent.get_hub().loop.run_callback(nudge, player)

    assert ends_of(program, 0) == {("sent", 1) if waits == "send" else (1, "sent")}


@pytest.mark.parametrize("recv", ["recv", "recv_nowait"])
def test_a_timeout_whose_block_is_left_by_a_send_comes_no_more(recv):
    def send_in_time(play):
        try:
            with gevent.Timeout(1):
                play.send(0)
        except gevent.Timeout:
            return "not sent"
        gevent.sleep(0.5)
        return play.send(1, 0.5)

    def program(play):
        play.spawn(send_in_time, play)
        later(play, getattr(play, recv), 0)

    refused = "waits" if recv == "recv" else "refused"
    assert ends_of(program, 0, 0) == {("late", 1), ("not sent", refused)}


@in_trouble
def test_of_two_receivers_the_first_in_trouble_leaves_the_value_to_the_second(trouble, end):
    def program(play):
        trouble(play, play.recv, 0)
        play.spawn(play.recv, 0)
        later(play, play.send, 0)

    assert ends_of(program, 0) == {(1, "waits", "sent"), (end, 1, "sent")}


@in_trouble
def test_of_two_senders_the_first_in_trouble_leaves_its_turn_to_the_second(trouble, end):
    def program(play):
        trouble(play, play.send, 0)
        play.spawn(play.send, 0)
        later(play, play.recv, 0)

    # They are the first and the second in any order, and so are their values.
    assert ends_of(program, 0) == {("sent", "waits", 1), (end, "sent", 1), (end, "sent", 2)}


@in_trouble
def test_a_sender_to_a_full_channel_in_trouble_has_sent_or_keeps_its_value(trouble, end):
    def program(play):
        play.send_nowait(0)
        trouble(play, play.send, 0)
        later(play, play.recv, 0)

    assert ends_of(program, 1) == {("sent", 1), (end, 1)}


@in_trouble
def test_a_sender_to_a_full_channel_may_be_in_trouble_when_it_is_closed(trouble, end):
    def program(play):
        play.send_nowait(0)
        trouble(play, play.send, 0)
        later(play, play.recv, 0)
        closed(play, 0)

    assert ends_of(program, 1) == {("sent", 1), ("closed", 1), (end, 1)}


@in_trouble
def test_a_hand_over_to_a_late_receiver_is_before_the_close_or_not_at_all(trouble, end):
    def program(play):
        trouble(play, play.send, 0)
        later(play, play.recv, 0)
        closed(play, 0)

    assert ends_of(program, 0) == {("sent", 1), ("closed", "closed"), (end, "closed")}


@in_trouble
def test_a_hand_over_to_a_waiting_receiver_is_before_the_close_or_not_at_all(trouble, end):
    def program(play):
        trouble(play, play.recv, 0)
        later(play, play.send, 0)
        closed(play, 0)

    put_back = set() if trouble is late else {(end, "sent")}
    assert ends_of(program, 0) == {(1, "sent"), ("closed", "closed"), (end, "closed")} | put_back


@in_trouble
def test_values_put_back_are_in_the_order_in_which_they_were_sent(trouble, end):
    def program(play):
        timed_out(play, play.recv, 0)
        trouble(play, play.recv, 0)
        later(play, lambda: " ".join(play.send_nowait(0) for _ in range(3)))

    # Of the order of those inside at last the model takes care.
    seen = ends_of(program, 3)
    assert {ends[:2] for ends in seen} >= {("Timeout", end), ("Timeout", 1), (1, end)}
    assert {ends[2] for ends in seen} == {"sent sent sent"}


def test_a_value_put_back_goes_before_all_that_nobody_has_had():
    def program(play):
        for _ in range(2):
            play.spawn(play.recv, 0)
            gevent.sleep(0.1)
            play.players[-1].kill()
            play.send_nowait(0)
            play.send_nowait(0)
            gevent.sleep(0.1)
            while play.recv_nowait(0) != "refused":
                pass

    assert ("GreenletExit", "GreenletExit") in ends_of(program, 1)


def test_a_value_put_back_keeps_its_place_from_hand_to_hand():
    def program():
        play = Play(0)
        later(play, lambda: play.send_nowait(0) + play.send_nowait(0))
        for _ in range(3):
            timed_out(play, play.recv, 0)
        gevent.sleep(2)
        return play.conclude()

    assert ("sentsent", "Timeout", "Timeout", "Timeout") in played_in_every_order(program)


@in_trouble
def test_a_select_with_two_partners_does_one_of_its_cases_or_none(trouble, end):
    def program(play):
        trouble(play, play.select, [("send", 0), None, ("send", 1)])
        later(play, play.recv, 0)
        later(play, play.recv, 1)

    none = ("late", None) if trouble is late else end
    assert ends_of(program, 0, 0, chances=2) == {
        ((0, None), 1, "waits"),
        ((2, None), "waits", 2),
        (none, "waits", "waits"),
    }


@in_trouble
def test_selects_that_face_each_other_meet_once_or_not_at_all(trouble, end):
    def program(play):
        trouble(play, play.select, [("send", 0), ("recv", 1)])
        later(play, play.select, [("recv", 0), ("send", 1)])

    meetings = {((0, None), (0, 1)), ((1, 2), (1, None))}
    none = {(("late", None), "waits")} if trouble is late else {(end, "waits"), (end, (1, None))}
    assert ends_of(program, 0, 0, chances=4) == meetings | none


@in_trouble
def test_a_select_on_both_ends_of_a_channel_does_one_of_its_cases_or_none(trouble, end):
    def program(play):
        trouble(play, play.select, [("send", 0), ("recv", 0), ("recv", 0)])
        later(play, play.recv, 0)
        later(play, play.send, 0)

    none = ("late", None) if trouble is late else end
    assert ends_of(program, 0, chances=4) == {
        (none, 2, "sent"),
        ((0, None), 1, "waits"),
        ((1, 2), "waits", "sent"),
        ((2, 2), "waits", "sent"),
    }


@in_trouble
@pytest.mark.parametrize("doing", ["recv", "send"])
def test_a_select_against_the_close_of_one_of_its_channels(trouble, end, doing):
    def program(play):
        trouble(play, play.select, [("recv", 0), (doing, 1)])
        later(play, play.send, 0)
        closed(play, 1)

    value = 2 if doing == "send" else 1
    shut = ("closed", None) if doing == "send" else (1, None)
    none = {(("late", None), "waits")} if trouble is late else {(end, "waits"), (end, "sent")}
    ends = {((0, value), "sent"), (shut, "waits")} | none
    assert ends_of(program, 0, 0, chances=2) == ends
