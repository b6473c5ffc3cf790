# SPDX-License-Identifier: Apache-2.0
"""Seeds of memmap_fuzz."""
from seeds import write

write([
    "1000 9ffff\n100000 7fffffff\n",
    "0000         1000 -       9ffff ->         1000\r\n0001       100000 -      1fffff -> 200000",
    "0x0 0x9FFFF  # below the hole\n\n   # nothing\n",
    "0 a0000\n",
    "[[range]]\nbase = 0x1000\nlength = 0x9f000\nreal_base = 0\n",
    "range = [{base = 0, length = 8192}, {base = 8192, length = 4096}]\n",
    "fffc0000 ffffffff\n100000000 13fffffff\n",
])
