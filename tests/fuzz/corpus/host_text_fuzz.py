# SPDX-License-Identifier: Apache-2.0
"""Lines of /proc as the kernel writes them; the first byte chooses the reader."""
import seeds

MAPS = """7f0000000000-7f0040000000 rw-s 00001000 00:01 123      /memfd:ram (deleted)
7f0040000000-7f0040001000 ---p 00000000 00:00 0
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0          [stack]
"""
STAT = "42 (a) R (b) S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654321 1000 10 1\n"
SOCKETS = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01   100 /run/a b
0000000000000000: 00000003 00000000 00000000 0001 03   101
0000000000000000: 00000002 00000000 00010000 0001 01   102 @abstract
"""

seeds.write([chr(reader) + text for reader, text in enumerate((MAPS, STAT, SOCKETS))])
