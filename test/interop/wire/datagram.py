"""The datagram of docs/protocol.md, sections 3 and 4: its header, its keys, and opening it.

Part of the second decoder: written from that page alone, it shares no code and no author's habit with shared/framing.
"""

import hashlib
import hmac
import struct
import zlib
from collections import namedtuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER_BYTES = 36
DATAGRAM_BYTES_MAX = 65507
TAG_BYTES = 16
CHECKSUM_BYTES = 4
MESSAGES, HEARTBEAT = 1, 2

Header = namedtuple("Header", "kind key_id link_tag journal_id epoch block stream symbol k r")


class Refused(Exception):
    """A reason from section 9."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def hkdf(key, salt, info, length):
    """RFC 5869 with SHA-256. An empty salt is 32 zero bytes, which HMAC pads to anyway."""
    pseudorandom = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    output, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
    return output[:length]


def link_tag(link_id):
    return hashlib.sha256(b"tidegate/1 link " + link_id.encode()).digest()[:4]


def key_id(link_key):
    return int.from_bytes(hkdf(link_key, b"", b"tidegate/1 key id", 2), "big") or 1


def epoch_key(link_key, link_id, journal_id, epoch):
    return hkdf(link_key, struct.pack(">QQ", journal_id, epoch), b"tidegate/1 seal " + link_id.encode(), 32)


def read_header(datagram):
    """The checks up to `header`, in the order of section 9."""
    if len(datagram) == 0:
        raise Refused("empty")
    if datagram[0] != 1:
        raise Refused("version")
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise Refused("long")
    if len(datagram) < HEADER_BYTES:
        raise Refused("short")
    _, kind, key, tag, journal, epoch, block, stream, symbol, k, r = struct.unpack(">BBH4sQQQBBBB", datagram[:HEADER_BYTES])
    if kind not in (MESSAGES, HEARTBEAT):
        raise Refused("kind")
    if len(datagram) < HEADER_BYTES + 1 + (TAG_BYTES if key else CHECKSUM_BYTES):
        raise Refused("short")
    if k == 0 or k + r > 256 or symbol >= k + r or block >= 2**53:
        raise Refused("header")
    if stream > 15 or (kind == HEARTBEAT and stream != 0):
        raise Refused("header")
    return Header(kind, key, tag, journal, epoch, block, stream, symbol, k, r)


def open_symbol(datagram, header, key):
    """The symbol in clear, or the refusal `tag`. key: of the epoch; None where nothing is sealed."""
    head, body = datagram[:HEADER_BYTES], datagram[HEADER_BYTES:]
    if header.key_id == 0:
        symbol, checksum = body[:-CHECKSUM_BYTES], body[-CHECKSUM_BYTES:]
        if struct.pack(">I", zlib.crc32(head + symbol)) != checksum:
            raise Refused("tag")
        return symbol
    nonce = struct.pack(">BBBBQ", header.kind, header.stream, 0, header.symbol, header.block)
    try:
        return AESGCM(key).decrypt(nonce, body, head)
    except InvalidTag:
        raise Refused("tag") from None
