"""Messages: a typed head in MessagePack, and a body of raw bytes that is never copied.

The payload of a frame is ``u32 head_len | head | body``. The head is one of the
structs that the application has declared, told apart by their tags, and checked field
by field while it is decoded. What is large and binary travels as the body, beside the
head and not inside it, because encoding it would cost a copy on either side.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from zope.interface import implementer

from gowork.interfaces import ICodec
from gowork.net.frames import FrameError

__all__ = ["Head", "Message", "MessageCodec", "MessageError"]

H = TypeVar("H", bound="Head")

_LENGTH_SIZE = 4


class MessageError(FrameError):
    """A payload that holds no valid message, or a message that makes no valid payload."""


# So that a type checker takes subclasses for frozen without their saying it again.
@typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Head(msgspec.Struct, array_like=True, tag=True, forbid_unknown_fields=True, frozen=True):
    """What an application's heads derive from: each an immutable type with its fields.

    ::

        class Resize(Head):
            request_id: int
            width: Annotated[int, msgspec.Meta(ge=1, le=8192)]
    """


class Message(NamedTuple, Generic[H]):
    """A head and the body that belongs to it."""

    head: H
    body: Any = b""


@implementer(ICodec)
class MessageCodec(Generic[H]):
    """A codec for messages whose heads are of the given types.

    ::

        codec = MessageCodec(Resize | Result)
        stream.write_frame(Message(Resize(1, 200), picture))

    :param heads: a subclass of :class:`Head`, or a union of some.
    :param max_head: the largest head, in bytes.
    :raises TypeError: if *heads* has other members, or two with one tag.
    """

    def __init__(self, heads: Any, *, max_head: int = 64 * 1024) -> None:
        is_union = typing.get_origin(heads) in (typing.Union, types.UnionType)
        self._types: tuple[type[Head], ...] = typing.get_args(heads) if is_union else (heads,)
        for member in self._types:
            if not (isinstance(member, type) and issubclass(member, Head)):
                raise TypeError(f"a head is a subclass of Head: {member!r}")
        self._max_head = max_head
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(heads)

    def encode(self, message: tuple[H, Any]) -> Sequence[Any]:
        """The buffers of *message*, ``(head, body)``; the body is the very object given.

        :raises TypeError: if the head is of none of the codec's types.
        :raises MessageError: if it is larger than ``max_head``.
        """
        head, body = message
        if type(head) not in self._types:
            raise TypeError(f"this codec has no head of type {type(head).__name__}")
        encoded = self._encoder.encode(head)
        self._check_size(len(encoded))
        return (len(encoded).to_bytes(_LENGTH_SIZE, "big"), encoded, body)

    def decode(self, payload: memoryview) -> Message[H]:
        """The message in *payload*; its body is a view of it, ``bytes(body)`` a copy.

        :raises MessageError: if there is none, whatever the reason.
        """
        if len(payload) < _LENGTH_SIZE:
            raise MessageError(f"a payload of {len(payload)} bytes has no head")
        size = int.from_bytes(payload[:_LENGTH_SIZE], "big")
        self._check_size(size)
        end = _LENGTH_SIZE + size
        if end > len(payload):
            raise MessageError(f"a head of {size} bytes in a payload of {len(payload)}")
        try:
            # Nesting without end is a RecursionError, a text that is no UTF-8 a ValueError.
            head = self._decoder.decode(payload[_LENGTH_SIZE:end])
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            # Its text may quote the peer, and be as long as the head.
            raise MessageError(f"a bad head: {str(error)[:200]!r}") from error
        return Message(head, payload[end:])

    def _check_size(self, size: int) -> None:
        if size > self._max_head:
            raise MessageError(f"a head of {size} bytes, and at most {self._max_head} are allowed")
