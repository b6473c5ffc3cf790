# SPDX-License-Identifier: Apache-2.0
"""Seeds of vmware_image_fuzz: checkpoints with memory in them, of both sizes of numbers."""
import struct

from seeds import write

PAGES = bytes(range(256)) * 16 * 3


def tag(name, index, value):
    return bytes([len(index) << 6 | len(value), len(name)]) + name.encode() + \
        b"".join(struct.pack("<I", one) for one in index) + value


def number(value, size=4):
    return value.to_bytes(size, "little")


def checkpoint(magic, regions, kind=63):
    word = "<II" if magic & 15 == 0 else "<QQ"
    cpu = tag("cpu:numVCPUs", [], number(2)) + tag("rip", [0], number(1 << 40, 8)) + \
        tag("CR64", [0, 3], number(0x1AC000, 8)) + tag("S.base64", [1, 5], number(5, 8))
    cpu += bytes([1 << 6 | 63, 6]) + b"gpregs" + number(1) + struct.pack(word + "H", 128, 128, 0) + bytes(128)
    memory = tag("regionsCount", [], number(len(regions)))
    for index, (frame, page, pages) in enumerate(regions):
        memory += tag("regionPPN", [index], number(frame)) + tag("regionPageNum", [index], number(page)) + \
            tag("regionSize", [index], number(pages))
    memory += bytes([1 << 6 | kind, 6]) + b"Memory" + number(0) + \
        struct.pack(word + "H", len(PAGES), len(PAGES), 2) + bytes(2) + PAGES
    groups = [(b"cpu", cpu + b"\0\0"), (b"memory", memory + b"\0\0")]
    at = 12 + 80 * len(groups)
    out, data = struct.pack("<III", magic, 8, len(groups)), b""
    for title, content in groups:
        out += title.ljust(64, b"\0") + struct.pack("<QQ", at + len(data), len(content))
        data += content
    return out + data


write([
    checkpoint(0xBED2BED2, [(0, 0, 2), (0x100000, 2, 1)]),
    checkpoint(0xBED0BED0, [(0, 0, 3)]),
    checkpoint(0xBAD1BAD1, []),
    checkpoint(0xBED3BED3, [(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)]),
    checkpoint(0xBED2BED2, [(0, 0, 2)], kind=62),
    checkpoint(0xBED2BED2, [(0, 0, 2)])[:500],
])
