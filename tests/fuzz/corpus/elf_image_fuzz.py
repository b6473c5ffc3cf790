# SPDX-License-Identifier: Apache-2.0
"""Seeds of elf_image_fuzz: cores of both classes with the headers of QEMU, and wrong ones."""
import struct

from seeds import write

PAGE = 4096
LOAD, NOTE = 1, 4


def head(bits, phoff, phnum, shoff=0, machine=62, order=1):
    mark = "<" if order == 1 else ">"
    ident = b"\x7fELF" + bytes([bits // 32, order, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    sizes = (8, 56, phnum, 64, 1, 0) if bits == 64 else (8, 32, phnum, 40, 1, 0)
    return ident + struct.pack(mark + "HHI3" + word + "I6H", 4, machine, 1, 0, phoff, shoff, 0, *sizes)


def segment(bits, kind, offset, paddr, filesz, memsz):
    if bits == 64:
        return struct.pack("<II6Q", kind, 0, offset, 0, paddr, filesz, memsz, 0)
    return struct.pack("<8I", kind, offset, 0, paddr, filesz, memsz, 0, 0)


def note(name, kind, text):
    pad = lambda data: data + bytes(-len(data) % 4)
    return struct.pack("<III", len(name) + 1, len(text), kind) + pad(name + b"\0") + pad(text)


def image(bits, segments, data=b"", phnum=None, info=0, machine=62):
    table = b"".join(segment(bits, *one) for one in segments)
    count = len(segments) if phnum is None else phnum
    out = head(bits, 192, count, 64 if info else 0, machine).ljust(64, b"\0")
    section = bytearray(64)
    struct.pack_into("<I", section, 44 if bits == 64 else 28, info)
    return (out + section).ljust(192, b"\0") + table + data


DATA = bytes(range(1, 256)) * 64
NOTES = note(b"CORE", 1, bytes(336)) + note(b"QEMU", 0, bytes(440)) + \
    note(b"MICROVMI", 1, b'{"writer":"microvmi 1","vm_name":"a"}')
seeds = []
for bits in (64, 32):
    at = 192 + 3 * (56 if bits == 64 else 32)
    seeds += [
        image(bits, [(NOTE, at, 0, len(NOTES), 0), (LOAD, at + len(NOTES), 0, PAGE, PAGE),
                     (LOAD, at + len(NOTES) + PAGE, 0xFFFFF000, PAGE, PAGE)], NOTES + DATA),
        image(bits, [(LOAD, at, 0, 3 * PAGE, 3 * PAGE), (LOAD, at + 7, PAGE, PAGE, 2 * PAGE),
                     (LOAD, at, 0x1800, 0x1900, 0x1900)], DATA),
        image(bits, [(LOAD, at, 0, 2 * PAGE, PAGE), (LOAD, at, 1 << 31, 1 << 30, 1 << 30),
                     (LOAD, 1 << 31, 0, PAGE, PAGE)], DATA),
        image(bits, [(LOAD, at, 0, PAGE, PAGE)] * 3, DATA, 0xFFFF, 3),
        image(bits, [(LOAD, at, (1 << bits) - PAGE, PAGE, PAGE)] * 3, DATA),
    ]
seeds.append(head(64, 64, 1, order=2))
seeds += [magic.ljust(64, b"\0") for magic in (b"EMiL", b"PAGEDU64", b"KDUMP   ", b"")]
write(seeds)
