"""A process that resizes for a backend, one picture after another, until the backend is gone."""

from __future__ import annotations

import resource
import sys

from gevent import socket

from examples.tcpbalancer import resizing
from examples.tcpbalancer.protocol import MAX_FRAME, MAX_PICTURE, Refusal, Resize, Result, codec
from examples.tcpbalancer.resizing import Refused, Resized, Wanted
from gowork.net.messages import Message
from gowork.net.streams import Stream

__all__ = ["Answer", "main", "reply_with", "wanted_of"]

Answer = Message[Result] | Message[Refusal]

#: What the process may take of the address space, itself included.
ADDRESS_SPACE = 2 * 1024**3


def reply_with(outcome: Resized | Refused, number: int, name: str) -> Answer:
    """What the backend *name* answers to request *number*."""
    if isinstance(outcome, Resized) and len(outcome.data) > MAX_PICTURE:
        text = "{1}x{2} in {0} are {3} bytes, too many for a message"
        outcome = Refused("TOO_LARGE", text.format(*outcome[1:4], len(outcome.data)))
    if isinstance(outcome, Refused):
        code, message, retryable = outcome.code, outcome.message[:256], outcome.retryable
        return Message(Refusal(number, code, message, name, retryable))
    data, kind, width, height, seconds = outcome
    return Message(Result(number, kind, width, height, seconds, name), data)


def wanted_of(request: Resize) -> Wanted:
    """What *request* wants."""
    width, height = request.width, request.height
    return Wanted(width, height, request.mode, request.format, request.quality)


def main(descriptor: int) -> None:
    """Resize what comes in from the socket that is *descriptor*."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resizing.have_pillow_refuse_bombs()
    stream = Stream(socket.socket(fileno=descriptor), codec=codec, max_frame=MAX_FRAME)
    while (message := stream.recv_frame()) is not None:
        head, picture = message
        outcome: Resized | Refused
        try:
            outcome = resizing.resize(picture, wanted_of(head))
        except Refused as refusal:
            outcome = refusal
        except MemoryError:
            outcome = Refused("TOO_LARGE", "it takes more memory than there may be")
        stream.write_frame(reply_with(outcome, head.request_id, ""))
    stream.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
