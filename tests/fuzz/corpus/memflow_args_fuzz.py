# SPDX-License-Identifier: Apache-2.0
"""Seeds of memflow_args_fuzz."""
from seeds import write

write([
    "win10",
    "win10:map_base=7f00,map_size=40000000:cache=true,cache_size=1kb",
    ":device=FPGA,memmap=/tmp/map",
    "'a:b,c=d':device=\"x,y\"",
    "device=rawudp://ip=1.2.3.4",
    "FPGA,remote=`rpc://a,b`",
    "pid=7,intrusive=none",
])
