# SPDX-License-Identifier: Apache-2.0
"""Seeds of lime_image_fuzz: records in order, out of order, overlapping, empty and cut off."""
import struct

from seeds import write

DATA = bytes(range(256)) * 48


def record(first, last, data=b"", version=1):
    return b"EMiL" + struct.pack("<IQQQ", version, first, last, 0) + data


whole = record(0x1000, 0x2FFF, DATA[:0x2000]) + record(1 << 32, (1 << 32) + 0xFFF, DATA[:0x1000])
write([
    whole,
    whole[:0x2800],
    whole + bytes(64),
    record(0x800, 0x27FF, DATA[:0x2000]) + record(0x1000, 0x1FFF, DATA[:0x1000]),
    record(0x1000, 0xFFF) + record(0, 0x1FFF, DATA[:0x2000]),
    record(0, (1 << 64) - 1, DATA),
    record(0, 0xFFF, DATA[:0x1000], version=2),
])
