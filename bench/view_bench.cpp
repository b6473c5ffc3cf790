// SPDX-License-Identifier: Apache-2.0
// 8 bytes at random places of 1 GiB of shared memory, against a plain load.
#include <cstring>
#include <memory>
#include <string>

#include "benches.hpp"
#include "contest.hpp"
#include "target.hpp"

namespace microvmi::bench {
namespace {

constexpr std::size_t kLoads = 16384;
constexpr double kPlainLoad = 1 / 1.5;  // 1.5 times the time of a plain load

struct Loads {
  Loads() {
    for (std::size_t i = 0; i < kLoads; ++i)
      requests[i].into = std::as_writable_bytes(std::span(&words[i], 1));
  }

  Places places{8, kLoads, true};
  std::vector<std::uint64_t> words = std::vector<std::uint64_t>(kLoads);
  std::vector<ReadRequest> requests = std::vector<ReadRequest>(kLoads);
};
using Shared = std::shared_ptr<Loads>;

std::uint64_t load(const std::byte* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Each place depends on the word before, as in a walk through page tables or a list.
template <class Get>
Work walk(const Shared& loads, Get get) {
  return [loads, get](std::size_t turn) {
    const std::uint64_t* at = loads->places.of(turn);
    std::uint64_t zero = 0;
    for (std::size_t i = 0; i < kLoads; ++i) {
      const std::uint64_t word = get(at[i] + zero);
      zero = word;
      asm volatile("and $0, %0" : "+r"(zero));  // 0, but only once the word is there
    }
  };
}

// All places are known beforehand.
template <class Get>
Work gather(const Shared& loads, Get get) {
  return [loads, get](std::size_t turn) {
    const std::uint64_t* at = loads->places.of(turn);
    for (std::size_t i = 0; i < kLoads; ++i) loads->words[i] = get(at[i]);
    asm volatile("" : : "r"(loads->words.data()) : "memory");
  };
}

// The same in groups of `size`, each of which is there before the next one begins: as a batch,
// whose answers are used before the next is asked for. Loads of a group overlap, groups do not.
template <class Get>
Work gather_groups(const Shared& loads, std::size_t size, Get get) {
  return [loads, size, get](std::size_t turn) {
    const std::uint64_t* at = loads->places.of(turn);
    for (std::size_t i = 0; i < kLoads; i += size) {
      for (std::size_t k = 0; k < size; ++k) loads->words[k] = get(at[i + k]);
      asm volatile("lfence" : : "r"(loads->words.data()) : "memory");
    }
  };
}

void read_in_batches(Loads& loads, std::size_t batch, std::size_t turn) {
  const std::uint64_t* at = loads.places.of(turn);
  for (std::size_t i = 0; i < kLoads; i += batch) {
    const std::span part = std::span(loads.requests).subspan(0, batch);
    for (std::size_t k = 0; k < batch; ++k) part[k].gpa = Gpa{at[i + k]};
    target(Backing::shared).memory().read(part);
    for (const ReadRequest& request : part)
      if (request.status != Errc::none) give_up("a read of a batch failed");
  }
}

}  // namespace

void add_view_contests() {
  const auto loads = std::make_shared<Loads>();
  const host::ProcessMemory& memory = target(Backing::shared).memory();
  const std::byte* mapping = target(Backing::shared).mapping();
  const auto plain = [mapping](std::uint64_t at) { return load(mapping + at); };
  const auto by_read = [&memory](std::uint64_t at) {
    const auto word = memory.read_value<std::uint64_t>(Gpa{at});
    if (!word) give_up("a read failed");
    return *word;
  };
  const View view = memory.view(Gpa{0}, kTargetSize);
  const auto by_view = [view](std::uint64_t at) {
    return at <= view.bytes().size() - 8 ? load(view.bytes().data() + at) : 0;
  };

  const auto contest = [&](std::string name, Work ours, Work limit) {
    add({.name = "shared/random/8/" + name,
         .target = kPlainLoad,
         .operations = kLoads,
         .ours = std::move(ours),
         .limits = {std::move(limit)}});
  };
  contest("view", gather(loads, by_view), gather(loads, plain));
  contest("view/walk", walk(loads, by_view), walk(loads, plain));
  contest("read/walk", walk(loads, by_read), walk(loads, plain));
  for (const std::size_t batch : {std::size_t{64}, std::size_t{512}})
    contest(
        "read/batch" + std::to_string(batch),
        [loads, batch](std::size_t turn) { read_in_batches(*loads, batch, turn); },
        gather_groups(loads, batch, plain));
}

}  // namespace microvmi::bench
