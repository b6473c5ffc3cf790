#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The only process of the Linux guest: says on the serial port what memory it has, then stamps it.
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1

echo "guest: kernel $(busybox uname -r)"
# Compaction would move pages whose addresses were already told.
echo 0 >/proc/sys/vm/compact_unevictable_allowed
busybox sed -n 's/^ *\([0-9a-f]*\)-\([0-9a-f]*\) : System RAM$/guest: ram 0x\1-0x\2/p' /proc/iomem
mib=$(busybox sed -n 's/.*microvmi\.stamp=\([0-9]*\).*/\1/p' /proc/cmdline)
# A name that changes with every boot, so that a stale answer shows.
busybox cat /proc/sys/kernel/random/boot_id >/boot_id
stamp "${mib:-32}" "hello from inside the guest, boot $(busybox cat /boot_id)"
echo "guest: failed: stamp ended with status $?"
busybox poweroff -f
