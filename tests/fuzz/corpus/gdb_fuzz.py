# SPDX-License-Identifier: Apache-2.0
"""Seeds of gdb_fuzz: what QEMU 7.2 sends."""
from seeds import write


def frame(data):
    return f"${data}#{sum(data.encode()) & 255:02x}"


DOCUMENT = ('<?xml version="1.0"?><!-- words --><target><architecture>i386:x86-64</architecture>'
            '<xi:include href="i386-64bit.xml"/></target>')
REGISTERS = ('<feature name="org.gnu.gdb.i386.core"><reg name="rax" bitsize="64" regnum="0"/>\n'
             '<reg name="eflags" bitsize="32"/><reg name="k_gs_base" bitsize="64"/></feature>')
write(["+" + frame("OK"), frame("T05thread:02;") + "+" + frame("") + frame("E22"),
       frame("T05thread:p01.01;awatch:ffff900000001000;"), frame("m01,02"), "$0* #7a",
       "$a}\x03b#43", frame("l" + DOCUMENT), DOCUMENT + "\0" + REGISTERS, REGISTERS])
