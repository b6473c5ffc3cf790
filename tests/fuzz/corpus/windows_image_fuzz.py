# SPDX-License-Identifier: Apache-2.0
"""Seeds of windows_image_fuzz: a dump of each type and class, with the offsets of the WDK."""
import struct

from seeds import write

PAGE = 4096
DATA = bytes(range(256)) * 16 * 5


def header(bits, kind, runs=(), count=None):
    out = bytearray(b"PAGE" * (0x800 if bits == 64 else 0x400))
    word = "Q" if bits == 64 else "I"
    out[:8] = b"PAGEDU64" if bits == 64 else b"PAGEDUMP"
    struct.pack_into("<" + word, out, 0x10, 0x1AD000)
    struct.pack_into("<II", out, 0x30 if bits == 64 else 0x20, 0x8664 if bits == 64 else 0x14C, 2)
    at = 0x88 if bits == 64 else 0x64
    struct.pack_into("<I", out, at, len(runs) if count is None else count)
    struct.pack_into("<" + word, out, at + bits // 8, sum(pages for _, pages in runs))
    for index, (frame, pages) in enumerate(runs):
        struct.pack_into("<2" + word, out, at + bits // 4 + index * bits // 4, frame, pages)
    struct.pack_into("<I", out, 0xF98 if bits == 64 else 0xF88, kind)
    struct.pack_into("<I", out, 0x348 + 0x30 if bits == 64 else 0x320, 0x10000F if bits == 64 else 0x1003F)
    return bytes(out)


def bitmap(base, bits):
    first = base + 0x1000
    return (b"SDMPDUMP" + bytes(24) + struct.pack("<QQQ", first, bin(bits).count("1"), bits.bit_length())
            + bits.to_bytes((bits.bit_length() + 7) // 8, "little")).ljust(0x1000, b"\0")


def summary(base, bits, wide):
    first = base + 0x1000
    head = b"SDMPDUMP" + struct.pack("<IIIII", 0, first, bits.bit_length(), 3, bits.bit_length())
    return (head.ljust(0x28 if wide else 0x20, b"\0") + bits.to_bytes(8, "little")).ljust(0x1000, b"\0")


def runs(base, kind, pairs):
    data = base + 0x1000
    tail = struct.pack("<IIQ", len(pairs), 0, 3) if kind == 10 else bytes(16)
    out = struct.pack("<I", 0x40) + b"RDMPDUMP" + bytes(4) + \
        struct.pack("<QQ", data - base - 0x20, data) + tail
    return (out + b"".join(struct.pack("<QQ", *pair) for pair in pairs)).ljust(0x1000, b"\0")


PAIRS = [(1, 2), (16, 1)]
seeds = []
for bits in (64, 32):
    base = 0x2000 if bits == 64 else 0x1000
    seeds.append(header(bits, 1, PAIRS) + DATA[:3 * PAGE])
    seeds.append(header(bits, 1, PAIRS, 99))
    seeds.append(header(bits, 2) + summary(base, 0b10011, bits == 64) + DATA[:3 * PAGE])
    for kind in (5, 6):
        seeds.append(header(bits, kind) + bitmap(base, 0b1000000011) + DATA[:3 * PAGE])
    for kind in (8, 9, 10):
        seeds.append(header(bits, kind) + runs(base, kind, PAIRS) + DATA[:3 * PAGE])
seeds.append(header(64, 4))
write(seeds)
