// SPDX-License-Identifier: Apache-2.0
// Copies: out of a shared mapping against memcpy, out of a process against the bare system calls.
#include "benches.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

#include "contest.hpp"
#include "target.hpp"

namespace microvmi::bench {
namespace {

struct Shape {
  const char* name;
  std::size_t size;   // of one read
  std::size_t batch;  // reads in one call
  bool random;
  double target;
};

// What a turn works with; the buffers of a batch lie one behind the other.
struct Reads {
  const Target& from;
  Shape shape;
  Places places;
  std::vector<std::byte> buffer;
  std::vector<ReadRequest> requests;
  std::vector<iovec> local;
  std::vector<iovec> remote;

  Reads(const Target& t, const Shape& s, std::size_t count)
      : from(t),
        shape(s),
        places(s.size, count, s.random),
        buffer(s.size * s.batch),
        requests(s.batch),
        local(s.batch),
        remote(s.batch) {
    for (std::size_t i = 0; i < s.batch; ++i)
      requests[i].into = std::span(buffer).subspan(i * s.size, s.size);
  }
};

void by_read(Reads& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  for (std::size_t i = 0; i < w.places.count(); i += w.shape.batch) {
    if (w.shape.batch == 1) {
      if (!w.from.memory().read(Gpa{at[i]}, w.buffer)) give_up("a read failed");
      continue;
    }
    for (std::size_t k = 0; k < w.shape.batch; ++k) w.requests[k].gpa = Gpa{at[i + k]};
    w.from.memory().read(w.requests);
    for (const ReadRequest& request : w.requests)
      if (request.status != Errc::none) give_up("a read of a batch failed");
  }
}

void by_memcpy(Reads& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  const std::byte* from = w.from.mapping();
  for (std::size_t i = 0; i < w.places.count(); i += w.shape.batch)
    for (std::size_t k = 0; k < w.shape.batch; ++k) {
      std::memcpy(w.buffer.data() + k * w.shape.size, from + at[i + k], w.shape.size);
      asm volatile("" : : "r"(w.buffer.data()) : "memory");
    }
}

void by_process_vm(Reads& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  for (std::size_t i = 0; i < w.places.count(); i += w.shape.batch) {
    for (std::size_t k = 0; k < w.shape.batch; ++k) {
      w.local[k] = {w.buffer.data() + k * w.shape.size, w.shape.size};
      w.remote[k] = {reinterpret_cast<void*>(w.from.hva() + at[i + k]), w.shape.size};
    }
    if (::process_vm_readv(w.from.pid(), w.local.data(), w.shape.batch, w.remote.data(),
                           w.shape.batch, 0) != static_cast<ssize_t>(w.buffer.size()))
      give_up("process_vm_readv failed");
  }
}

void by_pread(Reads& w, std::size_t turn) {
  const std::uint64_t* at = w.places.of(turn);
  for (std::size_t i = 0; i < w.places.count(); ++i)
    if (::pread(w.from.mem_fd(), w.buffer.data(), w.shape.size,
                static_cast<off_t>(w.from.hva() + at[i])) != static_cast<ssize_t>(w.shape.size))
      give_up("pread failed");
}

Work of(void (*way)(Reads&, std::size_t), const std::shared_ptr<Reads>& work) {
  return [way, work](std::size_t turn) { way(*work, turn); };
}

// So many reads that a turn takes some milliseconds and, in sequence, leaves the caches behind.
std::size_t reads_in_a_turn(const Shape& s) {
  const std::size_t bytes = std::size_t{48} << 20;
  const std::size_t count = std::max<std::size_t>(std::min<std::size_t>(bytes / s.size, 16384), 1);
  return std::max(count / s.batch, std::size_t{1}) * s.batch;
}

void add_shared(const Shape& s) {
  const auto work = std::make_shared<Reads>(target(Backing::shared), s, reads_in_a_turn(s));
  add({.name = std::string("shared/") + s.name,
       .target = s.target,
       .operations = work->places.count(),
       .ours = of(by_read, work),
       .limits = {of(by_memcpy, work)}});
}

void add_anonymous(const Shape& s) {
  const auto work = std::make_shared<Reads>(target(Backing::anonymous), s,
                                            reads_in_a_turn(s) / s.batch * s.batch);
  Contest contest{.name = std::string("process/") + s.name,
                  .target = s.target,
                  .operations = work->places.count(),
                  .ours = of(by_read, work),
                  .limits = {of(by_process_vm, work)}};
  if (s.batch == 1) contest.limits.push_back(of(by_pread, work));
  add(std::move(contest));
}

}  // namespace

void add_copy_contests() {
  constexpr std::size_t kK = 1024;
  constexpr double kOfMemcpy = 0.9;     // of the speed of memcpy
  constexpr double kOfCall = 0.95;      // of the speed of the bare system call
  constexpr double kSingle = 1 / 1.15;  // 1.15 times the time of the cheaper call
  for (const Shape& s : {Shape{"sequential/4K", 4 * kK, 1, false, kOfMemcpy},
                         Shape{"sequential/64K", 64 * kK, 1, false, kOfMemcpy},
                         Shape{"sequential/2M", 2048 * kK, 1, false, kOfMemcpy},
                         Shape{"sequential/4K/batch64", 4 * kK, 64, false, kOfMemcpy},
                         Shape{"random/4K", 4 * kK, 1, true, kOfMemcpy},
                         Shape{"random/4K/batch64", 4 * kK, 64, true, kOfMemcpy},
                         Shape{"random/4K/batch512", 4 * kK, 512, true, kOfMemcpy}})
    add_shared(s);
  for (const Shape& s :
       {Shape{"sequential/4K", 4 * kK, 1, false, kSingle},
        Shape{"sequential/64K", 64 * kK, 1, false, kOfCall},
        Shape{"sequential/2M", 2048 * kK, 1, false, kOfCall},
        Shape{"random/4K", 4 * kK, 1, true, kSingle},
        Shape{"random/4K/batch64", 4 * kK, 64, true, kOfCall},
        Shape{"random/4K/batch512", 4 * kK, 512, true, kOfCall},
        Shape{"random/8", 8, 1, true, kSingle}, Shape{"random/8/batch64", 8, 64, true, kOfCall},
        Shape{"random/8/batch512", 8, 512, true, kOfCall}})
    add_anonymous(s);
}

}  // namespace microvmi::bench
