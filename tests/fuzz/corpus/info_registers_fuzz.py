# SPDX-License-Identifier: Apache-2.0
"""Seeds of info_registers_fuzz: lines in the format of QEMU 7.2."""
from seeds import write

LONG = ("\r\nCPU#0\r\nRAX=0000000000113060 RBX=a0b0c0d0e0f00000\r\nR8 =a0b0c0d0e0f00606 R9 =1\r\n"
        "RIP=0000000000100346 RFL=00000006 [-----P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n"
        "CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r\n"
        "LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT\r\n"
        "GDT=     0000000000102000 00000027\r\nCR0=80010031 CR2=0000000c0ffee000\r\n"
        "DR6=00000000ffff0ff0 DR7=0000000000000400\r\nEFER=0000000000000d01\r\n"
        "FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\r\n")
SHORT = ("\r\nCPU#1\r\nEAX=000f49f6 EBX=00000000\r\nEIP=000fd09a EFL=00000002 [-------] HLT=1\r\n"
         "CS =0008 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]\r\nEFER=0000000000000500\r\n")
write([LONG, SHORT, LONG + SHORT])
