# SPDX-License-Identifier: Apache-2.0
"""Seeds of memslots_fuzz: passes of the BPF program, with slots of all kinds."""
import struct

from seeds import write

VM, SLOT, END = 1, 2, 3
MORE = 1


def record(kind, vm, words, flags=0, number=0, space=0):
    return struct.pack("<IIQQQQIhH", kind, 7, vm, *words, flags, number, space)


def machine(vm, slots, seen=None, flags=0, kind=0):
    return (record(VM, vm, (kind, 4, 6), 1, 2) + b"".join(slots)
            + record(END, vm, (len(slots) if seen is None else seen, 4, 6), flags))


def slot(gpa, size, flags=0, space=0):
    return record(SLOT, 9, (gpa, size, (0x7F0000000000 + gpa) % 2**64), flags, 3, space)


def passes(first, second=b""):
    return bytes([len(first) // 48]) + first + second


RAM = [slot(0, 0xA0000), slot(0x100000, 0x700000), slot(0xFFFC0000, 0x40000, 2)]
write([
    passes(machine(9, RAM)),
    passes(machine(9, RAM + [slot(0xA0000, 0x20000, 0, 1)])),
    passes(machine(9, [slot(0, 0x1000, 4)])),
    passes(machine(9, [slot(0, 0x1000, 0x10000), slot(2**64 - 4096, 2**64 - 4096)])),
    passes(machine(9, RAM, kind=4)),
    passes(machine(9, RAM[:2], 3, MORE), machine(9, RAM[2:], 3)),
    passes(machine(9, RAM) + machine(9, RAM)),
    passes(b""),
])
