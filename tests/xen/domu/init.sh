#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The only process of the Linux guest: says on its console what is true of it.
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
exec </dev/null >/dev/hvc0 2>&1
echo "guest: kernel $(busybox uname -r)"
# Where the kernel has "Linux version ...", which /proc/version was made from.
echo "guest: banner 0x$(busybox sed -n 's/ [A-Za-z] linux_banner$//p' /proc/kallsyms)"
echo "guest: version $(busybox cat /proc/version)"
truth "boot $(busybox cat /proc/sys/kernel/random/boot_id)"
echo "guest: failed: truth ended with status $?"
