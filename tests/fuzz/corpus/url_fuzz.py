# SPDX-License-Identifier: Apache-2.0
"""Seeds of url_fuzz."""
from seeds import write

write([
    "vmi://kvm/?unix-socket=/tmp/a%20b&timeout=5s",
    "vmi://KVM?vsock_port=4242",
    "vmi:///?vm-name=win%2610&pid=7",
    "vmi://memflow/?connector=coredump&coredump.filepath=%2Ftmp%2Fa",
    "vmi://qemu/?pid=7&flag",
    "vmi://root@kvm:80/path?a=b#c",
    "vmi://xen/?%zz=%4",
])
