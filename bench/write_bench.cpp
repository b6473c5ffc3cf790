// SPDX-License-Identifier: Apache-2.0
// Writes into a process, against the bare system calls.
#include <sys/uio.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "benches.hpp"
#include "contest.hpp"
#include "target.hpp"

namespace microvmi::bench {
namespace {

struct Writes {
  const Target& to;
  std::size_t size;
  Places places;
  std::vector<std::byte> bytes;

  Writes(const Target& t, std::size_t s, std::size_t count)
      : to(t), size(s), places(s, count, s <= kPageSize), bytes(s, std::byte{0x5A}) {}
};

void by_write(Writes& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  for (std::size_t i = 0; i < w.places.count(); ++i)
    if (!w.to.memory().write(Gpa{at[i]}, w.bytes)) give_up("a write failed");
}

void by_process_vm(Writes& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  const iovec local{w.bytes.data(), w.size};
  for (std::size_t i = 0; i < w.places.count(); ++i) {
    const iovec remote{reinterpret_cast<void*>(w.to.hva() + at[i]), w.size};
    if (::process_vm_writev(w.to.pid(), &local, 1, &remote, 1, 0) != static_cast<ssize_t>(w.size))
      give_up("process_vm_writev failed");
  }
}

void by_pwrite(Writes& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  for (std::size_t i = 0; i < w.places.count(); ++i)
    if (::pwrite(w.to.mem_fd(), w.bytes.data(), w.size, static_cast<off_t>(w.to.hva() + at[i])) !=
        static_cast<ssize_t>(w.size))
      give_up("pwrite failed");
}

Work of(void (*way)(Writes&, std::size_t), const std::shared_ptr<Writes>& work) {
  return [way, work](std::size_t turn) { way(*work, turn); };
}

void add_writes(Backing backing, const char* name, std::size_t size, double wanted) {
  const std::size_t bytes = std::size_t{32} << 20;
  const auto work =
      std::make_shared<Writes>(target(backing), size, std::min<std::size_t>(bytes / size, 8192));
  add({.name = std::string("write/") + (backing == Backing::shared ? "shared/" : "process/") + name,
       .target = wanted,
       .operations = work->places.count(),
       .ours = of(by_write, work),
       .limits = {of(by_process_vm, work), of(by_pwrite, work)}});
}

}  // namespace

void add_write_contests() {
  constexpr double kOfCall = 0.95;
  constexpr double kSingle = 1 / 1.15;
  for (const Backing backing : {Backing::shared, Backing::anonymous}) {
    add_writes(backing, "random/8", 8, kSingle);
    add_writes(backing, "random/4K", kPageSize, kSingle);
    add_writes(backing, "sequential/64K", 64 * 1024, kOfCall);
    add_writes(backing, "sequential/2M", 2048 * 1024, kOfCall);
  }
}

}  // namespace microvmi::bench
