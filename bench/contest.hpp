// SPDX-License-Identifier: Apache-2.0
// Contest: one way of ours against what bounds it, in turns, so that a noisy machine is as unkind
// to the one as to the other.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace microvmi::bench {

// Does the work of one turn. `turn` grows by one with each call, over all who take part, so that
// nobody is served from a cache that another has just filled.
using Work = std::function<void(std::size_t turn)>;

struct Contest {
  std::string name;
  double target = 0;           // the speed to reach: cheapest limit's time / our time; 0 for none
  std::size_t operations = 1;  // in a turn
  Work ours;
  std::vector<Work> limits;
};

// Registers it with Google Benchmark. The counters of the result: `ours_ns` and `limit_ns` for one
// operation, `ratio` and `target`. The time is the thread's cpu time, the median of the turns.
void add(Contest contest);

// Something with a fixed limit, in wall-clock milliseconds: the median of `turns`. The counters:
// `ours_ms`, `limit_ms`, `ratio` (limit / ours) and `target` (1).
struct Deadline {
  std::string name;
  double limit_ms = 0;
  std::size_t turns = 11;
  std::function<void()> ours;
};
void add(Deadline deadline);

// Two that each take long and use more than their own thread, in wall-clock milliseconds: who
// begins changes each round. The counters are those of a Deadline.
struct Race {
  std::string name;
  double target = 1;  // the limit's time / our time
  std::size_t rounds = 7;
  std::function<void()> prepare;  // before each of the two, untimed
  std::function<void()> ours;
  std::function<void()> limit;
  std::function<void()> finish;  // after the last round
};
void add(Race race);

// Runs what is registered; the exit status, 1 where a target was missed or something failed.
int run(int argc, char** argv);

// Ends the program: without its own target nothing can be measured.
[[noreturn]] void give_up(const std::string& why);

}  // namespace microvmi::bench
