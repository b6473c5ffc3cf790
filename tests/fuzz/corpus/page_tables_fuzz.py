# SPDX-License-Identifier: Apache-2.0
"""Seeds of page_tables_fuzz: cr3, gva, mode, flags, physical bits, then memory from 0 on."""
import struct

from seeds import write

NONE, TWO_LEVEL, PAE, FOUR_LEVEL, FIVE_LEVEL = range(5)


def seed(mode, cr3, gva, entries, flags=3, bits=52):
    """Entries are {gpa: value}, as wide as the mode has them."""
    form, size = ("<I", 4) if mode == TWO_LEVEL else ("<Q", 8)
    memory = bytearray(max(entries, default=0) + size)
    for gpa, value in entries.items():
        memory[gpa:gpa + size] = struct.pack(form, value)
    return struct.pack("<QQBBB5x", cr3, gva, mode, flags, bits) + bytes(memory)


WALK = {0x1000: 0x2007, 0x2000: 0x3007, 0x3000: 0x4007, 0x4000: 0x5007}
write([seed(NONE, 0, 0x1234, {}), seed(FOUR_LEVEL, 0x1000, 0x123, WALK),
       seed(FOUR_LEVEL, 0x1000, 0x123, WALK | {0x2000: 0x40000087}),
       seed(FOUR_LEVEL, 0x1000, 0x123, WALK | {0x3000: 0x600087}, 1),
       seed(FOUR_LEVEL, 0x1000, 0x123, WALK | {0x4000: 0x8000000000005007}, 0),
       seed(FOUR_LEVEL, 0, 0xfff, {0: 0x7}), seed(FIVE_LEVEL, 0, 0, WALK | {0: 0x1007}, 3, 40),
       seed(PAE, 0x20, 0xff8, {0x20: 0x1001, 0x1000: 0x2007, 0x2000: 0x8000000000003007}),
       seed(TWO_LEVEL, 0, 0xffe, {0: 0x1007, 0x1000: 0x2007, 0x1004: 0x3007}),
       seed(TWO_LEVEL, 0, 0x1000, {0: 0x4020e7})])
