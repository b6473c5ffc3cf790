// SPDX-License-Identifier: Apache-2.0
// Runs every contest, or those that --benchmark_filter names.
#include <cstdio>

#include "benches.hpp"
#include "contest.hpp"
#include "target.hpp"

int main(int argc, char** argv) {
  using microvmi::bench::Backing;
  const bool watched = microvmi::bench::target(Backing::shared).memory().process().watched();
  std::printf("whether the target lives is found out by %s\n",
              watched ? "a load" : "poll: perf events are forbidden here");
  microvmi::bench::add_copy_contests();
  microvmi::bench::add_image_contests();
  microvmi::bench::add_kdump_contests();
  microvmi::bench::add_translate_contests();
  microvmi::bench::add_view_contests();
  microvmi::bench::add_write_contests();
  microvmi::bench::add_dump_races();
  microvmi::bench::add_scan_deadlines();
  microvmi::bench::add_vcpu_races();
  return microvmi::bench::run(argc, argv);
}
