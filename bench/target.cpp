// SPDX-License-Identifier: Apache-2.0
// The child, and its memory opened from here.
#include "target.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <random>

#include "contest.hpp"

namespace microvmi::bench {
namespace {

void* map_memory(Backing backing) {
  const bool shared = backing == Backing::shared;
  const int fd = shared ? ::memfd_create("bench", MFD_CLOEXEC) : -1;
  if (shared && ::ftruncate(fd, static_cast<off_t>(kTargetSize)) != 0) return MAP_FAILED;
  void* base = ::mmap(nullptr, kTargetSize, PROT_READ | PROT_WRITE,
                      shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (base == MAP_FAILED) return base;
  if (!shared) ::madvise(base, kTargetSize, MADV_HUGEPAGE);  // as QEMU does
  auto* words = static_cast<std::uint64_t*>(base);
  for (std::uint64_t i = 0; i < kTargetSize / 8; ++i) words[i] = i;
  return base;
}

[[noreturn]] void serve(Backing backing, int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  void* base = map_memory(backing);
  const auto address = reinterpret_cast<std::uint64_t>(base);
  if (base == MAP_FAILED || ::write(pipe, &address, sizeof address) < 0) ::_exit(1);
  for (;;) ::pause();
}

}  // namespace

Target::Target(Backing backing) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) give_up("no pipe");
  pid_ = ::fork();
  if (pid_ == 0) serve(backing, ends[1]);
  ::close(ends[1]);
  if (pid_ < 0 || ::read(ends[0], &hva_, sizeof hva_) != sizeof hva_) give_up("no target process");
  ::close(ends[0]);
  auto process = host::Process::open(static_cast<std::uint32_t>(pid_));
  if (!process) give_up(to_text(process.error()));
  const host::Layout layout{.segments = {{.gpa = Gpa{0}, .size = kTargetSize, .hva = hva_}}};
  auto memory = host::ProcessMemory::open(*std::move(process), [layout] { return layout; });
  if (!memory) give_up(to_text(memory.error()));
  memory_ = *std::move(memory);
  view_ = memory_->view(Gpa{0}, kTargetSize);
  if (static_cast<bool>(view_) != (backing == Backing::shared)) give_up("no view of shared memory");
  for (std::uint64_t at = 0; at < view_.bytes().size(); at += kPageSize)
    static_cast<void>(static_cast<const volatile std::byte*>(mapping())[at]);
}

Target::~Target() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

const Target& target(Backing backing) {
  if (backing == Backing::shared) {
    static const Target shared(Backing::shared);
    return shared;
  }
  static const Target anonymous(Backing::anonymous);
  return anonymous;
}

Places::Places(std::size_t size, std::size_t count, bool random) : count_(count) {
  constexpr std::size_t kMost = std::size_t{1} << 21;
  const std::uint64_t slots = kTargetSize / size;
  offsets_.resize(std::min<std::size_t>(slots, kMost));
  std::mt19937_64 numbers(1);  // the same places in each run
  for (std::size_t i = 0; i < offsets_.size(); ++i)
    offsets_[i] = (random ? numbers() % slots : i) * size;
  if (offsets_.size() < count_) give_up("a turn is longer than the memory");
}

}  // namespace microvmi::bench
