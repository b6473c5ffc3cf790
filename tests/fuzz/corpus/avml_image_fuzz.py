# SPDX-License-Identifier: Apache-2.0
"""Seeds of avml_image_fuzz: blocks with plain and packed chunks, whole, wrong and cut off."""
import struct

from seeds import write

PAGE = bytes(range(256)) * 16


def crc(data):
    """CRC-32C as snappy's framing format masks it."""
    value = 0xFFFFFFFF
    for one in data:
        value ^= one
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def chunk(kind, data, plain=None):
    body = struct.pack("<I", crc(data if plain is None else plain)) + data
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def packed(byte, size):
    """A literal of one byte, and copies of it: snappy, format_description.txt."""
    out, left = bytearray([size & 0x7F | 0x80, size >> 7, 0, byte]), size - 1
    while left:
        now = min(left, 64)
        out += bytes([(now - 1) << 2 | 2, 1, 0])
        left -= now
    return bytes(out)


def block(start, size, chunks):
    stream = b"\xff\6\0\0sNaPpY" + b"".join(chunks)
    return b"AVML" + struct.pack("<IQQQ", 2, start, start + size - 1, 0) + stream + struct.pack("<Q", len(stream))


zeros = chunk(0, packed(0, 8192), bytes(8192))
whole = block(0x1000, 8192 + 4096, [zeros, chunk(1, PAGE)]) + block(1 << 32, 4096, [chunk(1, PAGE)])
write([whole, whole[:300], whole[:-4], block(0, 4096, [chunk(1, PAGE[:4000])]),
       block(0, 8192, [chunk(0, packed(0, 8192), bytes(1))]), block(0, 4096, [b"\x02\1\0\0a"])])
