# SPDX-License-Identifier: Apache-2.0
"""Seeds of migration_image_fuzz: streams with pages, copies, devices and a description; libvirt's."""
import json
import struct

from seeds import write

PAGE = bytes(range(256)) * 16
ZERO, SIZE, WHOLE, EOS, SAME = 2, 4, 8, 16, 32


def name(text):
    return bytes([len(text)]) + text.encode()


def word(value):
    return struct.pack(">Q", value)


def stream(machine, blocks, records, tail=b"\0"):
    out = b"QEVM" + struct.pack(">I", 3) + b"\7" + struct.pack(">I", len(machine)) + machine.encode()
    out += b"\1" + struct.pack(">I", 2) + name("ram") + struct.pack(">II", 0, 4)
    out += word(sum(size for _, size in blocks) | SIZE)
    out += b"".join(name(block) + word(size) for block, size in blocks) + word(EOS)
    out += b"\x7e" + struct.pack(">I", 2) + b"\3" + struct.pack(">I", 2)
    return out + records + word(EOS) + b"\x7e" + struct.pack(">I", 2) + tail


def field(title, size, count=None):
    return {"name": title, "size": size} | ({"array_len": count} if count else {})


FIELDS = [field("env.regs", 8, 16), field("env.eip", 8), field("env.eflags", 8), field("env.segs", 20, 6),
          field("env.ldt", 20), field("env.gdt", 20), field("env.cr[0]", 8), field("env.cr[3]", 8),
          field("env.dr", 8, 8)]
STATE = bytes(range(8)) * 60
TEXT = json.dumps({"page_size": 4096, "devices": [{"name": "cpu", "instance_id": 0, "fields": FIELDS}]})
CPU = b"\4" + struct.pack(">I", 3) + name("cpu") + struct.pack(">II", 0, 12) + STATE + \
    b"\x7e" + struct.pack(">I", 3) + b"\0\6" + struct.pack(">I", len(TEXT)) + TEXT.encode()
BLOCKS = [("pc.ram", 1 << 22), ("pc.bios", 1 << 18), ("/objects/more", 1 << 20)]
FIRST = word(0x1000 | WHOLE) + name("pc.ram") + PAGE
MORE = word(0x2000 | WHOLE | SAME) + PAGE + word(0x3000 | ZERO | SAME) + b"\0" + \
    word(0x4000 | ZERO | SAME) + b"\x55"
whole = stream("pc-i440fx-7.2", BLOCKS, FIRST + MORE, CPU)
XML = b"<domain><name>a</name><uuid>b</uuid></domain>\0"


def libvirt(packed):
    return b"LibvirtQemudSave" + struct.pack("<5I", 2, len(XML), 1, packed, 0) + bytes(56) + XML


write([
    whole,
    whole[:5000],
    stream("pc-q35-7.2", BLOCKS, FIRST + MORE + FIRST + word(0x3F000 | WHOLE) + name("pc.bios") + PAGE),
    stream("microvm", [("microvm.ram", 1 << 22)], FIRST.replace(b"\6pc.ram", b"\x0bmicrovm.ram")),
    stream("virt-7.2", [("mach-virt.ram", 1 << 22)], FIRST.replace(b"\6pc.ram", b"\x0dmach-virt.ram")),
    stream("pc-i440fx-7.2", BLOCKS, word(0x1000 | 0x40)),
    stream("pc-i440fx-7.2", [("pc.ram", 1 << 50)], FIRST),
    libvirt(0) + whole,
    libvirt(1) + whole[:64],
])
