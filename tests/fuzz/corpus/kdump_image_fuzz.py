# SPDX-License-Identifier: Apache-2.0
"""Seeds of kdump_image_fuzz: dumps plain, split, of 32 bits and flattened, and LZO streams."""
import struct
import zlib

from seeds import write

BLOCK = 4096


def bitmap(pages, blocks=1):
    bits = bytearray(blocks * BLOCK)
    for page in pages:
        bits[page // 8] |= 1 << page % 8
    return bytes(bits)


def dump(pages, status=1, split=(0, 0, 0), level=31, bits=64, excluded=(), notes=b""):
    """pages: {number: (stored bytes, flags)}"""
    head = bytearray(BLOCK)
    head[:8] = b"KDUMP   "
    struct.pack_into("<i", head, 8, 6)
    head[12 + 4 * 65:12 + 4 * 65 + 6] = b"x86_64"
    at = 0x1a8 if bits == 64 else 0x19c
    struct.pack_into("<IiiII", head, at, status, BLOCK, 1, 2, 256)
    struct.pack_into("<i", head, at + 36, 1)
    sub = bytearray(BLOCK)
    sub[0x200:0x200 + len(notes)] = notes
    place = (BLOCK + 0x200, len(notes))
    if bits == 64:
        struct.pack_into("<Qii10Q", sub, 0, 0, level, *split, 0, 0, *place, 0, 0, split[1], split[2])
        struct.pack_into("<Q", sub, 0x60, 256)
    else:
        struct.pack_into("<IiiII", sub, 0, 0, level, *split)
        struct.pack_into("<3Q", sub, 0x38, split[1], split[2], 256)
    maps = bitmap([*pages, *excluded]) + bitmap(pages)
    table, data = b"", b""
    base = 4 * BLOCK + 24 * len(pages)
    for stored, flags in pages.values():
        table += struct.pack("<QIIQ", base + len(data), len(stored), flags, 0)
        data += stored
    return bytes(head) + bytes(sub) + maps + table + data


def flattened(data, size, end=True):
    out = b"makedumpfile".ljust(16, b"\0") + struct.pack(">QQ", 1, 1)
    out = out.ljust(BLOCK, b"\0")
    for at in range(0, len(data), size):
        part = data[at:at + size]
        out += struct.pack(">QQ", at, len(part)) + part
    return out + (struct.pack(">qq", -1, -1) if end else b"")


PAGE = bytes(range(256)) * 16
NOTE = struct.pack("<III", 11, 20, 0) + b"VMCOREINFO\0\0" + b"OSRELEASE=6.1\nPAGESI"
LZO = bytes([17 + 4]) + b"abcd" + bytes([0x20, 33, 0, 0]) + bytes([17, 0, 0])
pages = {1: (zlib.compress(PAGE), 1), 2: (PAGE, 0), 9: (LZO, 2), 40: (b"\x80\x20\x0cabcd", 4),
         41: (b"\x28\xb5\x2f\xfd", 0x20)}
plain = dump(pages, notes=NOTE)
seeds = [plain, dump(pages, level=1, excluded=(3, 4)), dump(pages, bits=32),
         dump({1: pages[1], 9: pages[9]}, split=(1, 0, 10)), dump({}, status=0),
         flattened(plain, 1000), flattened(plain, 5000, end=False),
         flattened(plain + plain[:100], 4096), LZO, bytes([0, 0, 0, 1]) + b"x" * 300 + b"\x11\0\0"]
write(seeds)
