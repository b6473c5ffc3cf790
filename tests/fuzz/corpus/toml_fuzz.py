# SPDX-License-Identifier: Apache-2.0
"""Seeds of toml_fuzz."""
from seeds import write

write([
    'vm-name = "win10"\npid = 0x10\n',
    '[kvm]\nunix-socket = "/tmp/s"\ntimeout = "5s"\n',
    '[memflow.coredump]\nfilepath = "/a"\nformat = "raw"\nmap = ["0:2G:0", "4G:1G:2G"]\n',
    '[memflow]\nconnector = "pcileech"\nconnector-args = ["device=FPGA", "memmap=/m"]\n',
    'memflow.pcileech.auto-clear = true\nqemu = {pid = 7, timeout = "1min"}\n',
    '"kvm.vsock-port" = 4242\nwhen = 1979-05-27T07:32:00Z\nhalf = 0.5\n',
    "[[memflow]]\nx = '''a\nb'''\n",
])
