"""The block of docs/protocol.md, section 5: source symbols restored by repair symbols, the envelope, and the parts."""

import shutil
import struct
import subprocess
from collections import namedtuple

ENVELOPE_BYTES = 25
Envelope = namedtuple("Envelope", "compressed first count part parts content_bytes piece")


class Malformed(Exception):
    """What is complete and not as the page says."""


def _multiply(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


PRODUCT = [bytes(_multiply(a, b) for b in range(256)) for a in range(256)]
INVERSE = [0] + [PRODUCT[a].index(1) for a in range(1, 256)]


def _row(k, symbol):
    """How a symbol is made of the k source symbols."""
    if symbol < k:
        return [int(i == symbol) for i in range(k)]
    return [INVERSE[symbol ^ i] for i in range(k)]


def _add(target, factor, source):
    scaled = source.translate(PRODUCT[factor])
    return (int.from_bytes(target, "big") ^ int.from_bytes(scaled, "big")).to_bytes(len(target), "big")


def restore(k, symbols):
    """Gauss-Jordan over any k of the symbols (a dict from number to bytes): the k source symbols, joined."""
    chosen = sorted(symbols)[:k]
    rows = [(_row(k, number), symbols[number]) for number in chosen]
    for column in range(k):
        pivot = next(at for at in range(column, k) if rows[at][0][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        row, value = rows[column]
        inverse = INVERSE[row[column]]
        row, value = [PRODUCT[inverse][x] for x in row], value.translate(PRODUCT[inverse])
        rows[column] = (row, value)
        for at in range(k):
            factor = rows[at][0][column]
            if at != column and factor:
                mixed = [x ^ PRODUCT[factor][y] for x, y in zip(rows[at][0], row)]
                rows[at] = (mixed, _add(rows[at][1], factor, value))
    return b"".join(value for _, value in rows)


def read_envelope(block):
    if len(block) < ENVELOPE_BYTES:
        raise Malformed("the envelope is cut")
    flags, piece_bytes, first, count, part, parts, content_bytes = struct.unpack(">BIQIHHI", block[:ENVELOPE_BYTES])
    piece = block[ENVELOPE_BYTES : ENVELOPE_BYTES + piece_bytes]
    if flags & 0xFE:
        raise Malformed("unknown flags")
    if piece_bytes == 0 or len(piece) < piece_bytes:
        raise Malformed("piece bytes")
    if any(block[ENVELOPE_BYTES + piece_bytes :]):
        raise Malformed("padding")
    if count == 0 or first + count > 2**53 - 1:
        raise Malformed("first and count")
    if part >= parts:
        raise Malformed("part and parts")
    if parts == 1 and content_bytes != piece_bytes or parts > 1 and content_bytes <= piece_bytes:
        raise Malformed("content bytes and piece bytes")
    return Envelope(bool(flags & 1), first, count, part, parts, content_bytes, piece)


def _frame_bytes(content):
    """Bytes of the zstd frame that begins here [RFC 8878, 3.1.1]; IndexError when it is cut."""
    descriptor = content[4]
    single, size_flag = descriptor >> 5 & 1, descriptor >> 6
    at = 5 + [0, 1, 2, 4][descriptor & 3] + [single, 2, 4, 8][size_flag] + (not single)
    last = False
    while not last:
        header = content[at] | content[at + 1] << 8 | content[at + 2] << 16
        last, kind = header & 1, header >> 1 & 3
        at += 3 + (1 if kind == 1 else header >> 3)
    return at + 4 * (descriptor >> 2 & 1)


def decompress(content, bytes_max):
    """By the zstd program. It is stopped at bytes_max: a bomb is malformed, not large. The program takes several frames; the page has one."""
    try:
        if content[:4] != b"\x28\xb5\x2f\xfd" or _frame_bytes(content) != len(content):
            raise Malformed("one whole zstd frame")
    except IndexError:
        raise Malformed("a zstd frame that is cut") from None
    program = subprocess.Popen(
        [shutil.which("zstd") or "zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        program.stdin.write(content)
        program.stdin.close()
    except BrokenPipeError:
        pass
    output = program.stdout.read(bytes_max + 1)
    program.stdout.close()
    if len(output) > bytes_max:
        program.kill()
        program.wait()
        raise Malformed("decompression bound")
    if program.wait() != 0:
        raise Malformed("zstd")
    return output
