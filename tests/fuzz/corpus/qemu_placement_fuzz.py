# SPDX-License-Identifier: Apache-2.0
"""Seeds of qemu_placement_fuzz: three bytes that choose the blocks, then a maps file."""
from seeds import write

MAPS = """\
7f0000000000-7f0000100000 rw-p 00000000 00:00 0
7f0000100000-7f0000101000 ---p 00000000 00:00 0
7f0001000000-7f0001200000 rw-p 00000000 00:00 0
7f0002000000-7f0002400000 rwxp 00000000 00:00 0
7f0003000000-7f0003100000 rw-s 00000000 00:01 7  /memfd:memory-backend-memfd (deleted)
7f0004000000-7f0004100000 rw-s 00000000 00:1b 8  /dev/shm/qemu_back_mem.a.X1 (deleted)
7f0005000000-7f0005080000 rw-p 00000000 00:1b 9  /dev/shm/f
7f0005080000-7f0005100000 rw-p 00080000 00:1b 9  /dev/shm/f
"""
write([bytes(kinds) + MAPS.encode() for kinds in (
    (8, 9, 10), (8, 72, 9), (0x60, 0xa8, 9), (136, 168, 104), (255, 128, 64))])
