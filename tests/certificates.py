"""Certificates of an authority that lasts as long as the tests."""

from __future__ import annotations

from functools import cache

import trustme
from gevent import ssl


@cache
def authority():
    return trustme.CA()


def server_context(name="localhost"):
    """A context for a server whose certificate says that it is *name*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(name).configure_cert(context)
    return context


def client_context():
    """A context for a client that trusts the authority, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context
