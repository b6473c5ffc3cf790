# SPDX-License-Identifier: Apache-2.0
"""Seeds of qemu_command_line_fuzz: command lines as /proc has them."""
from seeds import write

X86 = "qemu-system-x86_64"


def line(*words):
    """Words with a NUL behind each."""
    return "".join(word + "\0" for word in words)


write([
    line(X86, "-M", "q35,accel=kvm:tcg", "-m", "size=5G,slots=2,maxmem=8G", "-name", "guest=a,,b"),
    line(X86, "-machine", "pc-i440fx-7.2,max-ram-below-4g=1G", "-m", "1030G", "-cpu", "EPYC"),
    line(X86, "-m", "4G", "-object", "memory-backend-ram,id=n0,size=1G",
         "-object", "memory-backend-memfd,id=n1,size=3G",
         "-numa", "node,memdev=n0", "-numa", "node,nodeid=1,memdev=n1"),
    line(X86, "-m", "1G,slots=4,maxmem=8G", "-object",
         '{"qom-type":"memory-backend-ram","id":"d","size":268435456}',
         "-device", '{"driver":"pc-dimm","memdev":"d","addr":"0x140000000"}',
         "-device", "nvdimm,memdev=d,label-size=128K"),
    line(X86, "-m", "1G,slots=4,maxmem=8G", "-object", "memory-backend-ram,id=d,size=268456",
         "-device", "nvdimm,memdev=d,label-size=128K"),  # nothing is left beside the label
    line(X86, "-M", "microvm", "-qmp", "unix:/run/a,server=on,wait=off", "-bios", "x"),
    line(X86, "-chardev", "socket,id=m,fd=3,server=on", "-mon", "chardev=m,mode=control"),
    line("qemu-system-aarch64", "-M", "virt", "-m", "1.5G", "-smp", "sockets=2,cores=2"),
    line("qemu-system-riscv64", "-M", "virt", "-readconfig", "vm.cfg", "-set", "machine.m.x=1"),
    line(X86, "-M", "isapc,memory-backend=x", "-mem-path", "/dev/shm", "-m"),
    line(X86, "-object", "sev-guest,id=s", "-machine", "q35,confidential-guest-support=s"),
])
