# SPDX-License-Identifier: Apache-2.0
"""Seeds of qemu_query_fuzz: what QEMU 7.2 answers, and a line of /proc/net/tcp."""
from seeds import write

write([
    '[{"share": false, "host-nodes": [], "size": 536870912, "policy": "default", "id": "pc.ram"}]',
    '[{"type": "dimm", "data": {"memdev": "/objects/d0", "addr": 4294967296, "size": 1073741824, '
    '"slot": 0, "id": "dimm0"}}, {"type": "virtio-mem", "data": {"memdev": "/objects/v", '
    '"memaddr": 8589934592, "size": 0, "max-size": 1073741824, "id": "v0"}}]',
    '{"base-memory": 536870912, "plugged-memory": 0}',
    '{"status": "prelaunch", "singlestep": false, "running": false}',
    '{"name": "win10"}', '{"UUID": "00000000-0000-0000-0000-000000000000"}',
    '{"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7"}',
    '[{"thread-id": 7830, "qom-path": "/machine/unattached/device[0]", "cpu-index": 0, '
    '"target": "x86_64"}]',
    "Host virtual address for 0x1000 (pc.ram) is 0x7f20c3e01000\r\n",
    "No memory is mapped at address 0xd0000000\r\n", "Memory at address 0x1000 is not RAM\r\n",
    "   1: 0100007F:115C 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 22222 1 0\n",
])
