# SPDX-License-Identifier: Apache-2.0
"""Seeds of params_fuzz: "key=value,key=value"."""
from seeds import write

write([
    "vm-name=win10,pid=45617",
    "kvmi_unix_socket=/tmp/introspector,kvm.timeout=5s,kvm.socket-group=kvm",
    "kvm.vsock-port=4242,kvm.vsock-peer-cid=3,kvm.secret=/s",
    "xen.domid=0x10,xen.uuid=01234567-89ab-cdef-0123-456789abcdef",
    "qemu.qmp=/q,qemu.gdb=1234,qemu.timeout=500ms",
    "memflow.connector=qemu,memflow.qemu-procfs.map-base=0x7f00,memflow.qemu-procfs.map-size=1G",
    'memflow.coredump.filepath="/a,""b""",memflow.coredump.format=raw,'
    'memflow.coredump.map="0:2G:0,4G:1G:2G"',
    "memflow.pcileech.device=FPGA,memap=/m,memflow.pcileech.auto-clear",
    "memflow_pid=7,memflow.kvm.intrusive=sync-regs",
])
