# SPDX-License-Identifier: Apache-2.0
# What dom0 runs: starts the guests, then every program that is there. run.py --set gives `skip`, the
# guests and programs that are left out, `filter`, which is gtest's, and `arguments` of the benchmarks.
export LD_LIBRARY_PATH=/lib64:/payload/lib PATH=/payload/bin:$PATH
export MICROVMI_XEN_GUESTS=/tmp/guests
skip="" filter="*" arguments=""
. /payload/settings

up() { cut -d' ' -f1 /proc/uptime; }
say() { echo "dom0: $* at $(up) s"; }
wanted() { case " $skip " in *" $1 "*) return 1 ;; esac; }
failed=""

# Without rdtscp TCG and Xen do not agree on what the guest executed; hence the native counter. A
# guest that breaks is kept, for the console to tell of it.
mkdir -p /tmp/guests
common='tsc_mode="native"
on_crash="preserve"
on_reboot="preserve"'
cat >/tmp/guests/tiny.cfg <<END
name="tiny"
type="pvh"
memory=16
vcpus=2
kernel="/tiny/tiny"
$common
END
cat >/tmp/guests/hvm.cfg <<END
name="hvm"
type="hvm"
memory=32
vcpus=1
firmware_override="/tiny/tiny"
bios_path_override="/usr/lib/xen-4.17/boot/bios.bin"
bios="seabios"
device_model_version="qemu-xen"
device_model_override="/tmp/guests/device-model"
vga="none"
nographic=1
vnc=0
usb=0
xen_platform_pci=0
$common
END
cat >/tmp/guests/device-model <<'END'
#!/bin/sh
exec /usr/libexec/xen-qemu-system-i386 -L /usr/share/qemu "$@"
END
chmod +x /tmp/guests/device-model
cat >/tmp/guests/linux.cfg <<END
name="linux"
type="pv"
memory=96
maxmem=128
vcpus=1
kernel="/linux/vmlinuz"
ramdisk="/linux/initramfs.gz"
extra="console=hvc0 nokaslr panic=1 quiet"
$common
END

# until_said NAME COMMAND TEXT: waits for it in what COMMAND prints.
until_said() {
  tries=0
  until $2 2>/dev/null | grep -q "$3"; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] || {
      failed="$failed $1"
      say "$1 does not come up"
      $2 | tail -30
      return
    }
    sleep 1
  done
  say "$1 is up"
}

# dom0 goes before its guests, which never rest.
xl sched-credit2 -d 0 -w 65535
for guest in linux tiny hvm; do
  wanted $guest || continue
  timeout 120 xl create /tmp/guests/$guest.cfg >/tmp/create.log 2>&1 && continue
  say "$guest cannot be made"
  cat /tmp/create.log /var/log/xen/qemu-dm-$guest.log
  failed="$failed $guest"
  skip="$skip $guest"
done
for guest in tiny hvm; do
  wanted $guest && until_said $guest "xl dmesg" "(d$(xl domid $guest)) tiny: ready"
done
# Kept, for Xen's console forgets. Once in some boots under load xl dies of a signal, hence the tries.
for guest in tiny hvm; do
  wanted $guest || continue
  for try in 1 2 3; do
    xl dmesg | grep "(d$(xl domid $guest)) tiny: " >/tmp/guests/$guest.said
    grep -q ready /tmp/guests/$guest.said && break
  done
done
# Two guests that never rest would make its boot three times as long.
wanted tiny && xl pause tiny
wanted hvm && xl pause hvm
wanted linux && until_said linux "cat /var/log/xen/guest-linux.log" "guest: ready"
wanted tiny && xl unpause tiny
wanted hvm && xl unpause hvm

# program NAME SECONDS ARGUMENTS...
program() {
  name=$1 seconds=$2
  shift 2
  [ -x /payload/bin/$name ] && wanted $name || return
  say "$name"
  timeout "$seconds" $name "$@" || {
    status=$?
    failed="$failed $name"
    say "$name ended with status $status"
  }
}
export GTEST_COLOR=no
program xen_tests 400 --gtest_filter="$filter"
program contract_tests 400 --gtest_filter="*live_xen*"
# shellcheck disable=SC2086
program xen_bench 400 $arguments
say "all done"
[ -z "$failed" ] || {
  echo "dom0: failed:$failed"
  exit 1
}
