"""The faults of the network in memory, in virtual time but for some."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack

import gevent
import pytest
from gevent import socket
from hypothesis import given, settings
from hypothesis import strategies as st
from test_networks import SERVER, descriptors, read_all, settles_at

from gowork.testing import Deadlock, simulate
from gowork.testing.faults import (
    Fault,
    bandwidth,
    corrupt,
    cut,
    latency,
    refuse,
    reset,
    slicer,
    stall,
)
from gowork.testing.networks import Network

TEXT = b"Errors are never swallowed, never only printed."


def arrivals(sock):
    """When what came, and at last when it ended."""
    seen = []
    while not seen or seen[-1][1]:
        data = sock.recv(4096)
        seen.append((time.monotonic(), data))
    return seen


def over(*faults, seed=None, send=(TEXT,), receive=read_all, **schedule):
    """What *receive* makes of its end when the other sends, a second apart, and ends."""

    def program():
        with Network(*faults, seed=seed) as network, ExitStack() as stack:
            a, b = map(stack.enter_context, network.pair())
            receiving = gevent.spawn(receive, b)
            try:
                for number, data in enumerate(send):
                    gevent.sleep(number and 1)
                    a.sendall(data)
                a.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return receiving.get()

    return simulate(program, seed=schedule.pop("schedule_seed", None), **schedule)


# Time


def test_an_hour_of_latency_is_an_hour_for_the_bytes_and_for_the_end():
    assert over(latency(3600), receive=arrivals).value == [(3600, TEXT), (3600, b"")]


def test_latency_delays_each_piece_and_not_the_ones_behind_it():
    seen = over(latency(60), send=[b"0", b"1", b"2"], receive=arrivals).value
    assert seen == [(60, b"0"), (61, b"1"), (62, b"2"), (62, b"")]


def test_latency_does_not_limit_how_much_passes():
    simulation = over(latency(3600), send=[bytes(500_000)])
    assert simulation.value == (bytes(500_000), None)
    assert simulation.now == 3600


def test_a_line_holds_only_so_much(monkeypatch):
    monkeypatch.setattr("gowork.testing.faults.LINE", 10_000)
    simulation = over(latency(3600), send=[bytes(100_000)])
    assert simulation.value == (bytes(100_000), None)
    assert simulation.now > 6 * 3600


def test_jitter_is_drawn_and_lets_nothing_overtake():
    sent = [bytes([number]) for number in range(50)]
    seen = over(latency(5, jitter=5), send=sent, receive=arrivals).value
    assert b"".join(data for _, data in seen) == b"".join(sent)
    # A piece that waits for an earlier one is later than its own time, never by more than that.
    delays = [at - data[-1] for at, data in seen if data]
    assert all(0 <= delay <= 10 for delay in delays)
    assert len({round(delay, 3) for delay in delays}) > 10
    assert min(delays) < 5 < max(delays)


def test_ten_bytes_a_second_are_ten_bytes_a_second():
    seen = over(bandwidth(10), send=[bytes(100)], receive=arrivals).value
    assert [round(at, 6) for at, _ in seen] == [number / 10 for number in range(1, 101)] + [10]
    assert {len(data) for _, data in seen} == {1, 0}


def test_a_slow_wire_does_not_save_up_what_it_did_not_carry():
    seen = over(bandwidth(10), send=[b"", b"", bytes(10)], receive=arrivals).value
    assert seen[-1][0] == pytest.approx(3)


def test_a_stall_for_a_time_loses_nothing():
    assert over(stall(6, seconds=7200), receive=arrivals).value == [
        (0, TEXT[:6]),
        (7200, TEXT[6:]),
        (7200, b""),
    ]


def test_a_stall_for_ever_keeps_the_connection_open_and_tells_nobody():
    def receive(sock):
        sock.settimeout(3600)
        received = read_all(sock)
        return received, time.monotonic()

    received, error = over(stall(6), receive=receive).value[0]
    assert received == TEXT[:6]
    assert isinstance(error, TimeoutError)
    with pytest.raises(Deadlock):
        over(stall(6))


def test_on_the_real_clock_too():
    began = time.monotonic()
    with Network(latency(0.02), slicer(5)) as network, ExitStack() as stack:
        a, b = map(stack.enter_context, network.pair())
        a.sendall(TEXT)
        a.shutdown(socket.SHUT_WR)
        assert read_all(b) == (TEXT, None)
    assert time.monotonic() - began >= 0.02


# Pieces


def lengths(simulation):
    return [len(data) for _, data in simulation.value[:-1]]


@pytest.mark.parametrize("largest", [1, 2, 10])
def test_pieces_are_no_larger_than_they_may_be(largest):
    pieces = lengths(over(slicer(largest), receive=arrivals, send=[bytes(300)]))
    assert set(pieces) == set(range(1, largest + 1))
    assert sum(pieces) == 300


def test_pieces_come_apart_on_the_real_loop_too():
    with Network(slicer(1)) as network, ExitStack() as stack:
        a, b = map(stack.enter_context, network.pair())
        a.sendall(TEXT)
        a.shutdown(socket.SHUT_WR)
        assert [len(data) for _, data in arrivals(b)] == [1] * len(TEXT) + [0]


def test_the_same_seed_cuts_at_the_same_places_however_it_is_sent():
    whole = lengths(over(slicer(9), seed=1, receive=arrivals))
    again = lengths(over(slicer(9), seed=1, receive=arrivals))
    other = lengths(over(slicer(9), seed=2, receive=arrivals))
    apart = lengths(over(slicer(9), seed=1, receive=arrivals, send=[TEXT[:20], TEXT[20:]]))
    assert whole == again != other
    assert set(itertools.accumulate(apart)) == {*itertools.accumulate(whole), 20}


def test_connections_draw_each_for_themselves_and_so_do_directions():
    def program():
        with Network(slicer(9)) as network, ExitStack() as stack:
            seen = []
            for _ in range(2):
                ends = [*map(stack.enter_context, network.pair())]
                for sender, receiver in (ends, ends[::-1]):
                    sender.sendall(TEXT)
                    sender.shutdown(socket.SHUT_WR)
                    seen.append([len(data) for _, data in arrivals(receiver)])
            return seen

    seen = simulate(program).value
    assert len({tuple(one) for one in seen}) == 4


# Damage


@pytest.mark.parametrize("every", [1, 2, 10])
def test_one_bit_is_flipped_in_every_so_many_bytes(every):
    send = [TEXT[:7], TEXT[7:20], TEXT[20:]]
    received, error = over(corrupt(every), send=send).value
    flipped = [bin(got ^ sent).count("1") for got, sent in zip(received, TEXT, strict=True)]
    blocks = [flipped[at : at + every] for at in range(0, len(TEXT), every)]
    assert error is None
    assert all(sum(block) == 1 for block in blocks if len(block) == every)


@pytest.mark.parametrize("after", [0, 1, 20, len(TEXT)])
@pytest.mark.parametrize("sent", [[TEXT], [TEXT[:20], TEXT[20:]]])
def test_a_cut_is_an_end_after_so_many_bytes(after, sent):
    assert over(cut(after), send=sent).value == (TEXT[:after], None)


def test_a_cut_is_a_broken_pipe_to_the_writer_and_no_reset():
    with Network(cut(3, direction="up")) as network, ExitStack() as stack:
        a, b = map(stack.enter_context, network.pair())
        a.sendall(TEXT)
        assert read_all(b) == (TEXT[:3], None)
        with pytest.raises(BrokenPipeError):
            a.sendall(TEXT)
        b.sendall(b"the other direction lives")
        b.close()
        gevent.sleep(0.001)  # the wire has gone
        assert read_all(a) == (b"the other direction lives", None)


@pytest.mark.parametrize("after", [0, 1, 20, len(TEXT)])
@pytest.mark.parametrize("send", [[TEXT], [TEXT[:20], TEXT[20:]]])
def test_a_reset_comes_after_so_many_bytes(after, send):
    received, error = over(reset(after), send=send).value
    assert received == TEXT[:after]
    assert isinstance(error, ConnectionResetError)


def test_a_stream_that_is_shorter_is_neither_reset_nor_cut_nor_stalled():
    for fault in (reset(len(TEXT) + 1), cut(len(TEXT) + 1), stall(len(TEXT) + 1)):
        assert over(fault).value == (TEXT, None)


@pytest.mark.parametrize("before", [b"", b"something"])
@pytest.mark.parametrize("is_shut", [False, True])
@pytest.mark.parametrize("is_read", [False, True])
def test_both_ends_see_a_reset_whatever_they_have_done_before(before, is_shut, is_read):
    with Network(reset(3, direction="down")) as network, ExitStack() as stack:
        client, server = map(stack.enter_context, network.pair())
        client.sendall(before)
        if is_shut:
            client.shutdown(socket.SHUT_WR)
        gevent.sleep(0.001)
        if is_read and before:
            assert server.recv(100) == before
        server.sendall(TEXT)
        received, error = read_all(client)
        assert received == TEXT[:3]
        assert isinstance(error, ConnectionResetError)
        assert isinstance(read_all(server)[1], ConnectionResetError)


@pytest.mark.parametrize("seed", range(30))
def test_resets_of_both_directions_at_once_are_resets(seed):
    def program():
        with Network(reset(1)) as network, ExitStack() as stack:
            ends = [*map(stack.enter_context, network.pair())]
            gevent.sleep(1)  # the wire waits at both
            for end in ends:
                end.sendall(TEXT)
            return [type(read_all(end)[1]) for end in ends]

    simulation = simulate(program, seed=seed)
    assert simulation.value == [ConnectionResetError] * 2
    assert not simulation.left


def test_a_socket_that_was_reset_takes_nothing_more_and_the_wire_is_gone():
    before = descriptors()
    with Network() as network, ExitStack() as stack:
        sockets = [*map(stack.enter_context, network.pair(reset()))]
        assert settles_at(before + 2)
        for sock in sockets:
            with pytest.raises(BrokenPipeError):
                sock.sendall(TEXT)


# Together


def test_faults_happen_in_the_order_in_which_they_are_named():
    late_reset = over(latency(60), reset(4))
    assert late_reset.value[0] == TEXT[:4]
    assert late_reset.now == 60
    reset_late = over(reset(4), latency(60))
    assert reset_late.value[0] == TEXT[:4]
    assert isinstance(reset_late.value[1], ConnectionResetError)
    assert over(corrupt(1), corrupt(1), seed=3).value != (TEXT, None)


@pytest.mark.parametrize(("direction", "late"), [("up", 60), ("down", 60), (None, 120)])
def test_a_fault_can_be_of_one_direction(direction, late):
    def program():
        with Network(latency(60, direction=direction)) as network:
            network.serve(lambda sock, peer: sock.sendall(sock.recv(100)), SERVER)
            with network.connect(SERVER) as client:
                client.sendall(b"?")
                assert client.recv(100) == b"?"

    assert simulate(program).now == late


def test_faults_of_a_connection_come_after_those_of_the_network():
    def program():
        with Network(latency(10)) as network:
            network.serve(lambda sock, peer: sock.recv(1), SERVER)
            with network.connect(SERVER, latency(5)) as client:
                client.sendall(b"?")
                return read_all(client)

    assert simulate(program).now == 30


after = st.integers(0, 60)
kind = st.one_of(
    st.builds(latency, st.sampled_from([0, 1, 1, 2, 3])),
    st.builds(latency, st.just(2), jitter=st.sampled_from([1, 2])),
    st.builds(slicer, st.integers(1, 20)),
    st.builds(bandwidth, st.sampled_from([1, 7, 1000])),
    st.builds(stall, after, seconds=st.sampled_from([0, 1, 2])),
    st.builds(cut, after),
    st.builds(reset, after),
    st.builds(cut, after, direction=st.just("down")),
)


@settings(max_examples=150)
@given(
    faults=st.lists(kind, max_size=4),
    send=st.lists(st.binary(max_size=30), max_size=4),
    seed=st.integers(0, 3),
    schedule_seed=st.none() | st.integers(0, 3),
)
def test_whatever_happens_a_prefix_arrives_and_all_of_it_unless_it_is_cut_short(
    faults, send, seed, schedule_seed
):
    simulation = over(*faults, send=send, seed=seed, schedule_seed=schedule_seed)
    sent = b"".join(send)
    received, error = simulation.value
    assert sent.startswith(received)
    names = {fault.name for fault in faults if fault.direction is None}
    if not names & {"cut", "reset"}:
        assert (received, error) == (sent, None)
    if error is not None:
        assert "reset" in names
        assert isinstance(error, ConnectionResetError)
    assert not simulation.left
    assert not simulation.hub_errors


def test_the_same_seed_is_the_same_run():
    faults = (latency(2, jitter=1), slicer(7), bandwidth(20), stall(30, seconds=5))
    runs = [over(*faults, seed=5, schedule_seed=1) for _ in range(3)]
    assert len({run.digest for run in runs}) == 1
    assert over(*faults, seed=6, schedule_seed=1).digest != runs[0].digest
    assert all(run.deterministic for run in runs)


@pytest.mark.parametrize("faults", [(), (latency(1),)])
def test_a_fault_of_ones_own_may_fail_and_is_not_silent(faults):
    def fail(pieces, random, spawn):
        yield next(pieces)
        raise ValueError("of a fault")

    def program():
        with ExitStack() as stack, Network(Fault("fail", (), stage=fail), *faults) as network:
            a, b = map(stack.enter_context, network.pair())
            a.sendall(TEXT)
            received, error = read_all(b)
            assert received == TEXT
            assert isinstance(error, ConnectionResetError)

    with pytest.raises(ValueError, match="of a fault"):
        simulate(program)


# Values


def test_faults_are_values():
    assert latency(1, direction="up") == latency(1, direction="up") != latency(1)
    assert len({cut(3), cut(3), cut(4), reset(3)}) == 3
    assert repr(latency(1, 0.5)) == "latency(seconds=1, jitter=0.5)"
    assert repr(slicer(3, direction="down")) == "slicer(largest=3, direction='down')"
    with pytest.raises(AttributeError):
        cut(3).direction = "up"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: latency(-1), ValueError, "seconds cannot be -1: give 0 or more"),
        (lambda: latency("1"), TypeError, "seconds is a number of seconds"),
        (lambda: latency(float("inf")), ValueError, "seconds must be finite"),
        (lambda: latency(1, jitter=2), ValueError, "jitter must not be greater than seconds"),
        (lambda: slicer(0), ValueError, "largest must be at least 1: 0"),
        (lambda: slicer(1.5), TypeError, r"largest must be a whole number: 1\.5"),
        (lambda: bandwidth(0), ValueError, "bytes_per_second must be positive and finite: 0"),
        (lambda: bandwidth("1"), TypeError, "bytes_per_second must be a number: '1'"),
        (lambda: reset(-1), ValueError, "after must be at least 0: -1"),
        (lambda: cut(True), TypeError, "after must be a whole number: True"),
        (lambda: stall(-1), ValueError, "after must be at least 0: -1"),
        (lambda: stall(seconds=-1), ValueError, "seconds cannot be -1"),
        (lambda: refuse(0), ValueError, "times must be at least 1: 0"),
        (lambda: corrupt(0), ValueError, "every must be at least 1: 0"),
        (lambda: cut(direction="left"), ValueError, r"'up' \(client to server\), 'down' or None"),
    ],
)
def test_what_makes_no_sense_is_refused_and_what_does_is_said(make, error, message):
    with pytest.raises(error, match=message):
        make()
