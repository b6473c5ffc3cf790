// SPDX-License-Identifier: Apache-2.0
// The xen driver's reads of a paused guest against bare calls of Xen's own library. It runs in the
// dom0 of tests/xen; ./dev bench boots that.
#include <algorithm>
#include <numeric>
#include <random>

#include "contest.hpp"
#include "microvmi/init.hpp"
#include "xen/bare.hpp"

namespace microvmi::bench {
namespace {

using test::xen::Bare;

constexpr const char* kGuest = "tiny";  // of tests/xen/inside.sh
// RAM of the tiny guest that it has filled and leaves alone: kStampStart and kStampEnd in tiny.S.
constexpr std::uint64_t kStart = 0x200000;
constexpr std::uint64_t kEnd = 0xc00000;
constexpr std::size_t kFrames = (kEnd - kStart) / kPageSize;
constexpr std::size_t kAtOnce = 64;
constexpr std::size_t kRead = 1U << 20;

std::uint16_t domid_of(const Vm& vm) {
  for (const Fact& fact : vm.info().facts)
    if (fact.name == "domid")
      return static_cast<std::uint16_t>(std::get<std::uint64_t>(fact.value));
  give_up("the driver does not tell the domain's number");
}

struct Target {
  Vm vm;
  Bare bare;
  std::vector<std::byte> bytes = std::vector<std::byte>(kRead);

  void must(bool good, const char* what) const {
    if (!good) give_up(what);
  }
};

void add_sequential(const std::shared_ptr<Target>& target) {
  const auto start_of = [](std::size_t turn) { return kStart + turn * kRead % (kEnd - kStart); };
  add(Contest{
      .name = "xen/sequential",
      .target = 0.9,
      .operations = kRead / kPageSize,
      .ours =
          [=](std::size_t turn) {
            target->must(target->vm.memory().read(Gpa{start_of(turn)}, target->bytes).has_value(),
                         "a read failed");
          },
      .limits = {[=](std::size_t turn) {
        std::vector<std::uint64_t> frames(kAtOnce);
        for (std::size_t at = 0; at < kRead; at += kAtOnce * kPageSize) {
          std::iota(frames.begin(), frames.end(), (start_of(turn) + at) / kPageSize);
          target->must(
              target->bare.copy(frames, std::span(target->bytes).subspan(at, kAtOnce * kPageSize)),
              "a mapping failed");
        }
      }}});
}

// Frames of one turn, none of them twice.
std::vector<std::uint64_t> some_frames(std::size_t turn) {
  std::vector<std::uint64_t> frames(kFrames);
  std::iota(frames.begin(), frames.end(), kStart / kPageSize);
  std::mt19937_64 random(turn);
  std::ranges::shuffle(frames, random);
  frames.resize(kAtOnce);
  return frames;
}

void add_random(const std::shared_ptr<Target>& target) {
  // Chosen beforehand, so that choosing is in nobody's time.
  const auto chosen = std::make_shared<std::vector<std::vector<std::uint64_t>>>();
  for (std::size_t turn = 0; turn < 64; ++turn) chosen->push_back(some_frames(turn));
  const auto page = [target](std::size_t i) {
    return std::span(target->bytes).subspan(i * kPageSize, kPageSize);
  };
  add(Contest{.name = "xen/random/4K/batch64",
              .target = 12,
              .operations = kAtOnce,
              .ours =
                  [=](std::size_t turn) {
                    std::vector<ReadRequest> batch;
                    for (const std::uint64_t frame : (*chosen)[turn % chosen->size()])
                      batch.push_back({.gpa = Gpa{frame * kPageSize}, .into = page(batch.size())});
                    target->vm.memory().read(batch);
                    for (const ReadRequest& one : batch)
                      target->must(one.done == kPageSize, "a read failed");
                  },
              .limits = {[=](std::size_t turn) {
                std::size_t i = 0;
                for (const std::uint64_t frame : (*chosen)[turn % chosen->size()])
                  target->must(target->bare.copy(std::span(&frame, 1), page(i++)),
                               "a mapping failed");
              }}});
}

// Eight bytes at a time of one page, as lists and tables are followed.
void add_small(const std::shared_ptr<Target>& target) {
  constexpr std::size_t kReads = 64;
  const auto place = [](std::size_t turn, std::size_t i) {
    return kStart + turn % kFrames * kPageSize + i * 1000 % kPageSize / 8 * 8;
  };
  add(Contest{
      .name = "xen/read/8B/one_page",
      .target = 4,
      .operations = kReads,
      .ours =
          [=](std::size_t turn) {
            for (std::size_t i = 0; i < kReads; ++i)
              target->must(
                  target->vm.memory().read_value<std::uint64_t>(Gpa{place(turn, i)}).has_value(),
                  "a read failed");
          },
      .limits = {[=](std::size_t turn) {
        for (std::size_t i = 0; i < kReads; ++i) {
          const std::uint64_t frame = place(turn, i) / kPageSize;
          target->must(target->bare.copy(std::span(&frame, 1), std::span(target->bytes).first(8)),
                       "a mapping failed");
        }
      }}});
}

// The one page that the tiny guest maps by four levels of tables; mapped_va in tiny.S.
void add_walk(const std::shared_ptr<Target>& target) {
  constexpr Gva kMapped{0x40000000};
  constexpr std::size_t kWalks = 16;
  constexpr std::size_t kTables = 4;
  auto space = target->vm.address_space(VcpuId{0});
  if (!space) give_up(to_text(space.error()));
  add(Contest{
      .name = "xen/translate",
      .target = 4,
      .operations = kWalks,
      .ours =
          [target, space = *space](std::size_t) {
            for (std::size_t i = 0; i < kWalks; ++i)
              target->must(target->vm.translate(space, kMapped).has_value(), "a walk failed");
          },
      .limits = {[=](std::size_t turn) {
        for (std::size_t i = 0; i < kWalks * kTables; ++i) {
          const std::uint64_t frame = kStart / kPageSize + (turn + i % kTables) % kFrames;
          target->must(target->bare.copy(std::span(&frame, 1), std::span(target->bytes).first(8)),
                       "a mapping failed");
        }
      }}});
}

}  // namespace
}  // namespace microvmi::bench

int main(int argc, char** argv) {
  using namespace microvmi;
  auto vm = init(DriverType::xen, {.xen = XenInitParams{.vm_name = bench::kGuest}});
  if (!vm) bench::give_up(to_text(vm.error()));
  if (auto paused = vm->pause(); !paused) bench::give_up(to_text(paused.error()));
  auto bare = test::xen::Bare::open(bench::domid_of(*vm));
  if (!bare) bench::give_up(bare.error());
  const auto target = std::make_shared<bench::Target>(*std::move(vm), *std::move(bare));
  bench::add_sequential(target);
  bench::add_random(target);
  bench::add_small(target);
  bench::add_walk(target);
  return bench::run(argc, argv);
}
