"""The command lines of the three programs; help is ``--help`` alone, ``-h`` is a height."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable
from pathlib import Path

import gowork

__all__ = ["address", "backend_parser", "client_parser", "proxy_parser", "set_up_logging"]

Address = tuple[str, int]
LOOPBACK = "127.0.0.1"


def address(text: str, least: int = 1) -> Address:
    """``HOST:PORT``, or ``PORT`` alone on the loopback interface, as a pair.

    :raises argparse.ArgumentTypeError: if it is neither.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    try:
        host.encode("idna")  # what no resolver would take
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} names no host: {error}") from None
    if not (port.isascii() and port.isdigit() and least <= int(port) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, int(port)


def listening_address(text: str) -> Address:
    """An address to listen on, where port 0 is any free one."""
    return address(text, least=0)


def name(text: str) -> str:
    """A name that fits into a reply."""
    if len(text) > 64 or not text.isprintable():
        raise argparse.ArgumentTypeError("a name has at most 64 characters, all of them printable")
    return text


def number(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A converter for whole numbers from *least* to *most*."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{value} is more than {most}")
        return value

    return convert


def proxy_parser() -> argparse.ArgumentParser:
    """The options of the proxy."""
    parser = _parser("proxy", "Share TCP connections out among upstreams, each at random.")
    _add_port(parser)
    parser.add_argument(
        "-u", "--upstream", type=address, action="append", default=[], metavar="HOST:PORT",
        help="where connections are passed on to; give it once for each",
    )  # fmt: skip
    parser.add_argument(
        "--maxconns", type=number(0), metavar="N",
        help="drop connections beyond so many at a time (default: no limit)",
    )  # fmt: skip
    return _with_common(parser)


def backend_parser() -> argparse.ArgumentParser:
    """The options of a backend."""
    parser = _parser("backend", "Resize pictures for whoever connects.")
    _add_port(parser)
    parser.add_argument("--name", type=name, default="",
                        help="what it calls itself in replies (default: its address)")  # fmt: skip
    parser.add_argument("--memory", type=number(64), default=512, metavar="MIB",
                        help="hold at most so many MiB of pictures (default: 512)")  # fmt: skip
    parser.add_argument("--processes", action="store_true",
                        help="in processes, killed on a deadline, and not in threads")  # fmt: skip
    return _with_common(parser)


def client_parser() -> argparse.ArgumentParser:
    """The options of the client."""
    parser = _parser("client", "Have the pictures of a directory resized.")
    parser.add_argument("--proxy", type=address, required=True, metavar="HOST:PORT",
                        help="who resizes them, or passes them on")  # fmt: skip
    parser.add_argument("--input", type=Path, required=True, metavar="DIR",
                        help="the pictures, also in its sub-directories")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="where NAME-WxH.ext go; not needed for a dry run")  # fmt: skip
    parser.add_argument("-w", "--width", type=number(0), default=0, metavar="PX",
                        help="the new width; 0, the default, keeps the proportions")  # fmt: skip
    parser.add_argument("-h", "--height", type=number(0), default=0, metavar="PX",
                        help="the new height; 0, the default, keeps the proportions")  # fmt: skip
    parser.add_argument("--mode", choices=("stretch", "fit", "cover"), default="stretch",
                        help="with both: stretch, the default, fit or cover")  # fmt: skip
    parser.add_argument("--format", choices=("jpeg", "png"), default="",
                        help="the new format (default: that of each original)")  # fmt: skip
    parser.add_argument("--quality", type=number(1, 100), default=85, metavar="N",
                        help="of JPEGs, 1 to 100 (default: 85)")  # fmt: skip
    parser.add_argument("--times", type=number(1), default=1, metavar="N",
                        help="do it all so many times (default: 1)")  # fmt: skip
    parser.add_argument("--minconns", type=number(1), default=1, metavar="N",
                        help="use at least so many connections at a time (default: 1)")  # fmt: skip
    parser.add_argument("--maxconns", type=number(1), metavar="N",
                        help="and at most so many (default: --minconns)")  # fmt: skip
    parser.add_argument("--requests-per-conn", type=number(1), default=math.inf, metavar="N",
                        dest="requests", help="then use another (default: no limit)")  # fmt: skip
    parser.add_argument("--timeout", type=number(1), default=30, metavar="S",
                        help="seconds that one picture may take (default: 30)")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE.html",
                        help="write a page with all pictures, before and after")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true",
                        help="send and receive no pictures, write no files")  # fmt: skip
    return _with_common(parser)


def check_client(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what each option allows but all together do not; fill in what depends on others."""
    if options.maxconns is None:
        options.maxconns = options.minconns
    if options.maxconns < options.minconns:
        parser.error("--maxconns is less than --minconns")
    if not (options.width or options.height):
        parser.error("give --width or --height, or both")
    if options.output is None and not options.dry_run:
        parser.error("give --output, or --dry-run")
    if options.report is not None and not options.report.parent.is_dir():
        parser.error(f"--report: there is no directory {options.report.parent}")
    if options.output is not None and options.output.resolve() == options.input.resolve():
        parser.error("--output must not be --input: results would mix with originals")


def set_up_logging(loglevel: int) -> None:
    """Write to stderr what jobs log up to *loglevel*."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if loglevel:
        for ours in ("gowork", "examples"):
            logging.getLogger(ours).setLevel(logging.DEBUG)
    gowork.set_default_log_level(loglevel)


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m examples.tcpbalancer.{command}",
        description=description,
        add_help=False,
        allow_abbrev=False,
    )


def _add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--port", type=listening_address, required=True,
                        metavar="[HOST:]PORT",
                        help="where to listen; 0 is any free port")  # fmt: skip


def _with_common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--loglevel", type=number(0), default=0, metavar="N",
                        help="0, the default, is the least talkative")  # fmt: skip
    parser.add_argument("--help", action="help", help="show this and exit")
    return parser
