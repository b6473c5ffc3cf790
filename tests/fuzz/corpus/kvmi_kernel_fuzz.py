# SPDX-License-Identifier: Apache-2.0
"""Seeds of kvmi_kernel_fuzz: dialect, cut, then commands as a tool sends them."""
import struct

from seeds import write

FAMILY = {"version": 2, "info": 5, "pause": 7, "events": 9, "cr": 10, "get": 13, "set": 14,
          "read": 17, "write": 18, "inject": 19, "access": 21, "step": 63, "reply": 0}


def command(name, payload=b"", seq=1):
    return struct.pack("<HHI", FAMILY[name], len(payload), seq) + payload


VCPU = bytes(8)
PAUSE = command("pause", VCPU + struct.pack("<Q", 1))
SESSION = [
    command("version"), command("info", seq=2), command("read", struct.pack("<QQ", 0x1000, 16), 3),
    command("write", struct.pack("<QQ", 0x1000, 4) + b"abcd", 4),
    command("events", VCPU + struct.pack("<HBxxxxx", 1, 1), 5),
    command("cr", VCPU + struct.pack("<BxxxI", 1, 3), 6),
    command("get", VCPU + struct.pack("<HxxxxxxI", 1, 0xC0000082), 7),
    command("access", struct.pack("<HHxxxxQBxxxxxxx", 0, 1, 0x1000, 5), 8),
    command("inject", VCPU + struct.pack("<BxxxIQ", 14, 2, 0x1000), 9),
    command("step", VCPU + struct.pack("<Q", 1), 10),
    PAUSE + command("set", VCPU + bytes(144), 11) + command("reply", VCPU + struct.pack("<BBxxxxxx", 0, 10), 1),
]
write(bytes([dialect, cut]) + body for dialect in (0, 1, 2) for cut in (0, 255)
      for body in [*SESSION, b"".join(SESSION)])
