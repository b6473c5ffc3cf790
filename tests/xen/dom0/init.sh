#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# dom0's only script: starts Xen's tools, runs /payload/run.sh, and hands its output and its exit
# status to the second serial port. Xen and the kernel speak on the first one.
/bin/busybox mkdir -p /sbin
/bin/busybox --install -s /bin
export PATH=/usr/lib/xen-4.17/bin:/usr/bin:/bin:/sbin LD_LIBRARY_PATH=/lib64
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts # xenconsoled opens one for each guest
echo 3 >/proc/sys/kernel/printk
stty raw -echo </dev/ttyS1
exec >/dev/ttyS1 2>&1

up() { cut -d' ' -f1 /proc/uptime; }

# The other side waits for this line, and then takes the machine away.
leave() {
  echo "dom0: end status=$1 uptime=$(up)"
  sleep 60
  poweroff -f
}

while read -r module; do
  insmod "/modules/$module.ko" || { echo "dom0: no module $module" && leave 61; }
done </modules/order
mount -t xenfs xen /proc/xen
xenstored --pid-file=/run/xenstored.pid
tries=0
until xenstore-read / >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || { echo "dom0: xenstored does not answer" && leave 62; }
  usleep 100000
done
xen-init-dom0 >/tmp/init-dom0.log 2>&1 || { cat /tmp/init-dom0.log && leave 63; }
xenconsoled --log=guest --log-dir=/var/log/xen --pid-file=/run/xenconsoled.pid
echo "dom0: up uptime=$(up)"
sh /payload/run.sh
leave $?
