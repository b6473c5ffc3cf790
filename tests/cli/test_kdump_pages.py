# SPDX-License-Identifier: Apache-2.0
"""Pages that libzstd and libsnappy compress for us here, in a kdump-compressed file put together by
hand as makedumpfile's diskdump_mod.h has it: Debian's makedumpfile writes neither (one that does can be
named for test_image_tools.py)."""
import ctypes
import ctypes.util
import os
import struct

import libkdumpfile
from support import CliTest

PAGE = 4096


def library(name):
    found = ctypes.util.find_library(name)
    return ctypes.CDLL(found) if found else None


def zstd(page):
    lib, room = library("zstd"), ctypes.create_string_buffer(2 * PAGE)
    lib.ZSTD_compress.restype = ctypes.c_size_t
    lib.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t] * 2 + [ctypes.c_int]
    size = lib.ZSTD_compress(room, len(room), page, len(page), 19)
    return room.raw[:size]


def snappy(page):
    lib, room = library("snappy"), ctypes.create_string_buffer(2 * PAGE)
    size = ctypes.c_size_t(len(room))
    lib.snappy_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                    ctypes.POINTER(ctypes.c_size_t)]
    assert lib.snappy_compress(page, len(page), room, ctypes.byref(size)) == 0
    return room.raw[:size.value]


def kdump(pages, flag):
    """[(page, as it is stored, its flags)]: two headers, two bitmaps, descriptors, bytes."""
    head = struct.pack("<8si390s6x16xIiiIIIIIIi", b"KDUMP   ", 6,
                       b"".join(text.ljust(65, b"\0") for text in
                                (b"Linux", b"", b"6.1.0", b"", b"x86_64", b"")),
                       flag, PAGE, 1, 2, len(pages), 0, 0, 0, 0, 1)
    sub = bytes(0x60) + struct.pack("<Q", len(pages))
    bitmap = sum(1 << at for at in range(len(pages))).to_bytes(PAGE, "little")
    data_at = 5 * PAGE
    descriptors, data = b"", b""
    for stored, flags in pages:
        descriptors += struct.pack("<QIIQ", data_at + len(data), len(stored), flags, 0)
        data += stored
    return b"".join(part.ljust(PAGE, b"\0") for part in (head, sub, bitmap, bitmap, descriptors)) + data


class KdumpPagesTest(CliTest):
    def check(self, compress, flag):
        pages = [bytes(PAGE), (b"a line that comes again\n" * 171)[:PAGE],
                 bytes(i * i >> 3 & 0xFF for i in range(PAGE)), os.urandom(PAGE)]
        stored = [(compress(page), flag) for page in pages[:3]] + [(pages[3], 0)]
        self.assertTrue(all(len(each) < PAGE for each, _ in stored[:3]))
        self.file("image", kdump(stored, flag))
        truth = b"".join(pages)
        if libkdumpfile.NAME:
            self.assertEqual(libkdumpfile.memory_of(self.path("image"), len(truth)), truth)
        self.assertEqual(self.ok("read", 0, len(truth), "--raw", "image").out, truth)
        self.assertEqual(self.ok("read", PAGE + 100, 50, "--raw", "image").out,
                         truth[PAGE + 100:PAGE + 150])
        # One that is cut short is an error, not the page without its end.
        broken = [*stored[:1], (stored[1][0][:-3], flag), *stored[2:]]
        self.file("image", kdump(broken, flag))
        self.fails(1, "read", PAGE, PAGE, "--raw", "image", says="0x1000")

    def test_zstd(self):
        if not library("zstd"):
            self.skipTest("libzstd is not installed")
        self.check(zstd, 0x20)

    def test_snappy(self):
        if not library("snappy"):
            self.skipTest("libsnappy is not installed")
        self.check(snappy, 4)
