"""Messages: typed heads, bodies beside them, and one error for whatever is wrong."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyClass, verifyObject

from gowork.interfaces import ICodec
from gowork.net.frames import FrameError, FrameReceiver, encode_frame
from gowork.net.messages import Head, Message, MessageCodec, MessageError


class Ask(Head):
    number: Annotated[int, msgspec.Meta(ge=1, le=100)]
    text: str = ""


class Answer(Head):
    number: int


class Anything(Head):
    items: list


CODEC = MessageCodec(Ask | Answer)


def payload(head, body=b"", claimed=None):
    size = len(head) if claimed is None else claimed
    return memoryview(size.to_bytes(4, "big") + head + body)


def packed(*fields):
    return payload(msgspec.msgpack.encode(fields))


def test_the_codec_keeps_its_promise():
    assert verifyClass(ICodec, MessageCodec)
    assert verifyObject(ICodec, CODEC)


@pytest.mark.parametrize("head", [Ask(1), Ask(100, "hello"), Answer(-5)])
def test_a_message_comes_back_as_the_type_it_was(head):
    message = CODEC.decode(memoryview(b"".join(CODEC.encode(Message(head, b"body")))))
    assert message == (head, b"body")
    assert type(message.head) is type(head)


def test_a_message_may_have_no_body():
    assert CODEC.decode(memoryview(b"".join(CODEC.encode(Message(Ask(1)))))).body == b""


def test_a_head_is_immutable():
    with pytest.raises(AttributeError):
        Ask(1).number = 2


def test_a_body_is_sent_as_the_very_object_it_is():
    picture = bytearray(1000)
    assert CODEC.encode((Ask(1), picture))[-1] is picture


def test_a_body_is_received_without_a_copy():
    received = packed("Answer", 1)
    whole = memoryview(received.tobytes() + b"picture")
    assert CODEC.decode(whole).body.obj is whole.obj


def test_a_codec_for_a_single_type_needs_no_union():
    codec = MessageCodec(Answer)
    assert codec.decode(packed("Answer", 7)).head == Answer(7)


@pytest.mark.parametrize(
    "bad",
    [
        memoryview(b""),
        memoryview(b"\0\0\0"),
        payload(b""),
        payload(b"\x92", claimed=2),
        payload(msgspec.msgpack.encode(["Answer", 1]), claimed=100),
        payload(b"\x92", claimed=2**32 - 1),
        payload(b"\xc1"),
        payload(b"\xdd\xff\xff\xff\xff"),
        payload(b"\xc6\xff\xff\xff\xff"),
        payload(msgspec.msgpack.encode(["Answer", 1]) + b"more"),
        payload(b"\x93\xa3Ask\x01\xa2\xff\xfe"),
        packed("Unknown", 1),
        packed("Ask"),
        packed("Ask", 1, "text", "one too many"),
        packed("Ask", "1"),
        packed("Ask", 0),
        packed("Ask", 101),
        packed(7, 1),
        packed(),
    ],
)
def test_whatever_is_wrong_is_a_message_error(bad):
    with pytest.raises(MessageError):
        CODEC.decode(bad)


def test_nesting_without_end_is_a_message_error():
    codec = MessageCodec(Anything)
    with pytest.raises(MessageError) as caught:
        codec.decode(payload(b"\x92\xa8Anything" + b"\x91" * 60_000 + b"\x01"))
    assert isinstance(caught.value.__cause__, RecursionError)


def test_what_an_error_says_of_a_bad_head_is_short_and_printable():
    codec = MessageCodec(Answer)
    with pytest.raises(MessageError) as caught:
        codec.decode(packed("\n\x1b[2J" + "x" * 10_000, 1))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_head_above_the_limit_is_refused_both_ways():
    codec = MessageCodec(Ask, max_head=20)
    with pytest.raises(MessageError, match="at most 20"):
        codec.encode((Ask(1, "x" * 20), b""))
    with pytest.raises(MessageError, match="at most 20"):
        codec.decode(payload(bytes(21)))


def test_a_head_of_a_foreign_type_is_not_encoded():
    with pytest.raises(TypeError, match="Anything"):
        CODEC.encode((Anything([]), b""))


@pytest.mark.parametrize("heads", [int, Ask | int, msgspec.Struct, list[Ask]])
def test_a_codec_takes_nothing_but_heads(heads):
    with pytest.raises(TypeError):
        MessageCodec(heads)


def test_a_message_error_is_a_frame_error():
    assert issubclass(MessageError, FrameError)


@given(st.binary(max_size=64))
def test_no_bytes_make_the_codec_raise_anything_else(data):
    for candidate in (memoryview(data), payload(data)):
        try:
            CODEC.decode(candidate)
        except MessageError:
            pass


def test_messages_travel_in_frames():
    data = b"".join(encode_frame(CODEC.encode((Ask(1), b"picture"))))
    [received] = FrameReceiver().feed(data)
    assert CODEC.decode(received) == (Ask(1), b"picture")
