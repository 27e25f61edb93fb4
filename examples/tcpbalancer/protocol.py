"""What client and backend say to each other; the proxy between them need not know.

The backend says first how many requests it takes at a time. Then it is one request, one
reply, in any order: the ``request_id`` tells which belongs to which. Pictures travel as
the bodies of messages. Names never travel: which request was for which file is for the
client alone to know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gowork.net.messages import Head, MessageCodec

__all__ = ["MAX_FRAME", "MAX_PICTURE", "Hello", "Refusal", "Reply", "Resize", "Result", "codec"]

#: The largest message either side takes, in bytes.
MAX_FRAME = 32 * 1024 * 1024
#: The largest picture that fits into one, with room for its head.
MAX_PICTURE = MAX_FRAME - 1024

RequestId = Annotated[int, Meta(ge=0, lt=2**31)]
Pixels = Annotated[int, Meta(ge=0, lt=2**31)]
Size = Annotated[int, Meta(ge=1, lt=2**31)]
Seconds = Annotated[float, Meta(ge=0, le=24 * 3600)]  # which no NaN is
Credits = Annotated[int, Meta(ge=1, le=1024)]
Quality = Annotated[int, Meta(ge=1, le=100)]
Word = Annotated[str, Meta(max_length=64)]
Sentence = Annotated[str, Meta(max_length=256)]


class Hello(Head, frozen=True):
    """What a backend takes: ``credits`` requests that wait for a reply, of so many bytes each."""

    credits: Credits
    max_frame: Size


class Resize(Head, frozen=True):
    """Resize the picture in the body. Of width and height one may be 0: keep the proportions.

    After ``seconds`` a reply would be too late; they are what is left, so that clocks need
    not agree. A dry run has no body and wants none back: it is answered without looking at
    a picture.
    """

    request_id: RequestId
    width: Pixels
    height: Pixels
    seconds: Seconds = 30.0
    dry_run: bool = False
    mode: Literal["stretch", "fit", "cover"] = "stretch"
    format: Literal["", "JPEG", "PNG"] = ""
    quality: Quality = 85


class Result(Head, frozen=True):
    """The body is the picture in its new size; ``seconds`` is how long the resizing took."""

    request_id: RequestId
    format: Word
    width: Pixels
    height: Pixels
    seconds: Seconds
    backend: Word


class Refusal(Head, frozen=True):
    """There is no new picture, and why: a word for programs, a sentence for people.

    Only if it is ``retryable`` may asking again help, best another backend.
    """

    request_id: RequestId
    code: Word
    message: Sentence
    backend: Word
    retryable: bool = False


Reply = Result | Refusal

#: Encodes and decodes all four.
codec: MessageCodec[Hello | Resize | Result | Refusal] = MessageCodec(
    Hello | Resize | Result | Refusal
)
