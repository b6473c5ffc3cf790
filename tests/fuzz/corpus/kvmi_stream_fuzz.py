# SPDX-License-Identifier: Apache-2.0
"""Seeds of kvmi_stream_fuzz: dialect, cut, then replies and events as a kernel sends them."""
import struct

from seeds import write


def message(number, seq, payload):
    return struct.pack("<HHI", number, len(payload), seq) + payload


def event(number, data=b""):
    return message(1, 1, struct.pack("<HHB", 544, 0, number) + bytes(539) + data)


VERSIONS = b"".join(message(2, seq, bytes(8) + struct.pack("<IIQ", 1, 0, 0)) for seq in (1, 2, 3, 4))
BODIES = [VERSIONS, event(10) + VERSIONS, VERSIONS + event(1, struct.pack("<QQQ", 3, 1, 2)),
          message(2, 1, bytes(4)), message(2, 9, bytes(24)), event(6, bytes(24)),
          struct.pack("<HHI", 2, 8185, 1), VERSIONS[:20],
          message(1, 1, struct.pack("<Q", 19) + struct.pack("<HH", 544, 0) + bytes(548))]
write(bytes([dialect, cut]) + body for dialect in (0, 1, 2) for cut in (0, 255) for body in BODIES)
