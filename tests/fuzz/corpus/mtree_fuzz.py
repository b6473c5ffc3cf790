# SPDX-License-Identifier: Apache-2.0
"""Seeds of mtree_fuzz: views in the format of QEMU 7.2."""
from seeds import write

HEAD = "FlatView #{}\r\n AS \"{}\", root: {}\r\n Root memory region: {}\r\n"
ROWS = [
    "0000000000000000-00000000000bffff (prio 0, ram): pc.ram KVM",
    "00000000000c0000-00000000000c3fff (prio 1, rom): pc.ram @00000000000c0000 KVM KVM",
    "00000000000c4000-00000000000fffff (prio 1, rom): pc.ram @00000000000c4000",
    "00000000fec00000-00000000fec00fff (prio -1, i/o): ioapic",
    "00000000fffc0000-00000000ffffffff (prio 0, romd): system.flash0",
    "0000000100000000-000000017fffffff (prio 0, nv-ram): /objects/d0 @0000000000001000",
    "fffffffffffff000-ffffffffffffffff (prio 0, ramd): 0000:01:00.0 BAR 1",
]


def view(number, name, root, rows):
    return HEAD.format(number, name, root, root) + "".join(f"  {row}\r\n" for row in rows) + "\r\n"


EMPTY = view(1, "i440FX", "bus master container", ["No rendered FlatView"])
write([view(0, "memory", "system", ROWS), view(0, "I/O", "io", ROWS[3:4]) + EMPTY +
       view(2, "memory", "system", ROWS[:3]), view(0, "memory", "system", ROWS[::-1]),
       *(view(0, "memory", "system", [row]) for row in ROWS)])
