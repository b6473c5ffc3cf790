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
  return bench::run(argc, argv);
}
