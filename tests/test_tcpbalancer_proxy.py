"""The balancer example's proxy: bytes both ways, fail-over, limits, ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest
from balancing import HERE, a_proxy, a_server, connected, eventually, nobody, serving
from connections import read_all
from gevent import socket

from examples.tcpbalancer import backend, proxy
from examples.tcpbalancer.proxy import NoUpstream, Upstreams, connection_job
from gowork import Job
from gowork.net.managers import ConnManager
from gowork.net.relays import relay
from gowork.net.streams import Stream, StreamState


def answer_at_the_end(stream: Stream) -> None:
    """Upper-case it all, once the client has said that it is all."""
    heard = b"".join(iter(stream.recv_raw, b""))
    stream.write_raw(heard.upper())


def echo(stream: Stream) -> None:
    for data in iter(stream.recv_raw, b""):
        stream.write_raw(data)


@contextmanager
def through_a_proxy(handle: Callable[[Stream], object]) -> Iterator[socket.socket]:
    """The socket of a client whose other end *handle* gets."""
    with a_server(handle) as upstream, a_proxy(upstream) as address, connected(address) as sock:
        yield sock


def test_a_client_that_has_said_all_still_gets_its_answer() -> None:
    with through_a_proxy(answer_at_the_end) as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"QUESTION"


def test_an_upstream_that_has_said_all_still_hears_its_client() -> None:
    heard = []

    def speak_first(stream: Stream) -> None:
        stream.write_raw(b"greeting")
        stream.shutdown_write()
        heard.append(b"".join(iter(stream.recv_raw, b"")))

    with through_a_proxy(speak_first) as sock:
        assert read_all(sock) == b"greeting"
        sock.sendall(b"late words")
        sock.shutdown(socket.SHUT_WR)
        assert eventually(lambda: heard == [b"late words"])


def test_much_data_arrives_whole() -> None:
    data = bytes(range(256)) * 8192
    with through_a_proxy(echo) as sock:
        writer = gevent.spawn(lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        assert read_all(sock) == data
        writer.join()


def test_a_dead_upstream_and_one_without_an_address_are_passed_over() -> None:
    def unknown() -> Stream:
        raise socket.gaierror("no such host")

    with a_server(echo) as living:
        upstreams = Upstreams([nobody(), ("unknown", 1), living], seed=1)
        upstreams._managers[1].connect = unknown
        for _ in range(8):
            stream = upstreams.connect()
            assert stream.peer == living
            stream.close()


def test_a_client_is_closed_promptly_when_all_upstreams_are_dead() -> None:
    with a_proxy(nobody(), nobody()) as address, connected(address) as sock:
        assert read_all(sock) == b""


def test_what_was_tried_is_told_when_all_upstreams_are_dead() -> None:
    first, second = nobody(), nobody()
    with pytest.raises(NoUpstream) as caught:
        Upstreams([first, second]).connect()
    assert f":{first[1]}:" in str(caught.value)
    assert f":{second[1]}:" in str(caught.value)


def test_no_upstream_at_all_is_an_error_before_anybody_connects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="no upstream"):
        Upstreams([])
    with pytest.raises(SystemExit) as caught:
        proxy.main(["--port", "0"])
    assert caught.value.code == 2
    assert "at least one --upstream" in capsys.readouterr().err


@pytest.mark.parametrize("main", [proxy.main, backend.main])
def test_a_port_that_is_taken_is_an_error_that_names_it(
    main: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(HERE)
        taken.listen()
        port = str(taken.getsockname()[1])
        options = ["--port", port] + (["-u", "127.0.0.1:9"] if main is proxy.main else [])
        assert main(options) == 1
    said = capsys.readouterr()
    assert port in said.err
    assert "listening" not in said.out


def test_choices_of_one_seed_are_the_same_and_reach_every_upstream() -> None:
    def choices(seed: int) -> list[int]:
        upstreams = Upstreams([(str(i), 1) for i in range(3)], seed)
        tried: list[int] = []
        for i, manager in enumerate(upstreams._managers):
            manager.connect = lambda i=i: tried.append(i)
        for _ in range(60):
            upstreams.connect()
        return tried

    assert choices(5) == choices(5)
    assert choices(5) != choices(6)
    assert min(Counter(choices(5)).values()) > 5


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_clients_beyond_the_limit_are_dropped_and_the_others_do_not_notice(limit: int) -> None:
    with a_server(echo) as upstream, a_proxy(upstream, maxconns=limit) as address:
        admitted = [socket.create_connection(address, timeout=10) for _ in range(limit)]
        for sock in admitted:
            sock.sendall(b"here")
            assert sock.recv(10) == b"here"
        with connected(address) as surplus:
            assert read_all(surplus) == b""
        for sock in admitted:
            sock.sendall(b"still")
            assert sock.recv(10) == b"still"
            sock.close()


def test_a_place_that_became_free_is_given_to_the_next_client() -> None:
    with a_server(echo) as upstream, a_proxy(upstream, maxconns=1) as address:
        for _ in range(3):
            with connected(address) as sock:
                sock.sendall(b"x")
                sock.shutdown(socket.SHUT_WR)
                assert read_all(sock) == b"x"


def test_a_client_never_gets_what_was_meant_for_another() -> None:
    asked = []

    def answer_late(stream: Stream) -> None:
        asked.append(stream.recv_raw())
        gevent.sleep(0.02)
        stream.write_raw(b"reply to " + asked[-1])

    with a_server(answer_late) as upstream, a_proxy(upstream) as address:
        with connected(address) as first:
            first.sendall(b"secret")
            assert eventually(lambda: bool(asked))
        with connected(address) as second:
            second.sendall(b"hello")
            assert read_all(second) == b"reply to hello"


def test_a_stream_in_one_direction_is_not_idle_in_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy, "IDLE", 0.3)

    def drip(stream: Stream) -> None:
        for _ in range(8):
            gevent.sleep(0.08)
            stream.write_raw(b".")

    with through_a_proxy(drip) as sock:
        assert read_all(sock) == b"." * 8


def test_silence_in_both_directions_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "IDLE", 0.05)
    with through_a_proxy(echo) as sock, pytest.raises(ConnectionResetError):
        read_all(sock)


def test_an_upstream_is_closed_although_the_job_ends_before_its_relay_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upstreams: list[Stream] = []

    def relay_and_cancel(job: Job, client: Stream, upstream: Stream, **options: float) -> None:
        relay(job, client, upstream, **options)
        upstreams.append(upstream)
        job.cancel()

    monkeypatch.setattr(proxy, "relay", relay_and_cancel)
    with through_a_proxy(echo) as sock:
        assert read_all(sock) == b""
        assert eventually(lambda: upstreams[0].state is StreamState.CLOSED)


def test_many_connections_leave_nothing_behind() -> None:
    jobs = []
    with a_server(echo) as upstream:
        manager, shares = ConnManager(HERE), Upstreams([upstream, nobody()], seed=1)

        def make_job() -> object:
            jobs.append(connection_job(manager, shares))
            return jobs[-1]

        def talk() -> bool:
            with connected(manager.address) as sock:
                sock.sendall(b"x")
                return sock.recv(1) == b"x"

        with serving(manager, make_job):
            clients = [gevent.spawn(talk) for _ in range(60)]
            gevent.joinall(clients, raise_error=True)
            assert all(client.value for client in clients)
            assert eventually(lambda: sum(not job.job_done_notify().is_set() for job in jobs) == 1)
