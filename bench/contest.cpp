// SPDX-License-Identifier: Apache-2.0
// Turns, medians and the verdict.
#include "contest.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

namespace microvmi::bench {
namespace {

constexpr std::size_t kTurns = 25;

double cpu_now() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double cpu_of(const Work& work, std::size_t turn) {
  const double start = cpu_now();
  work(turn);
  return cpu_now() - start;
}

void hold(benchmark::State& state, const Contest& contest) {
  std::vector<double> ours;
  std::vector<std::vector<double>> limits(contest.limits.size());
  std::size_t turn = 0;
  // The first turn of each warms up and does not count.
  for (std::size_t round = 0; round <= kTurns; ++round) {
    const double mine = cpu_of(contest.ours, turn++);
    if (round != 0) ours.push_back(mine);
    for (std::size_t i = 0; i < limits.size(); ++i) {
      const double theirs = cpu_of(contest.limits[i], turn++);
      if (round != 0) limits[i].push_back(theirs);
    }
  }
  std::vector<double> medians;
  for (const auto& times : limits) medians.push_back(median(times));
  const auto cheapest =
      static_cast<std::size_t>(std::ranges::min_element(medians) - medians.begin());
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(limits[cheapest][i] / ours[i]);
  const auto operations = static_cast<double>(contest.operations);
  state.SetIterationTime(median(ours) / operations * 1e-9);
  state.counters["ours_ns"] = median(ours) / operations;
  state.counters["limit_ns"] = medians[cheapest] / operations;
  state.counters["ratio"] = median(ratios);
  state.counters["target"] = contest.target;
}

// A line for each, and whether all reached their targets.
class Verdicts final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    std::printf("%-40s %12s %12s %7s %7s\n", "", "ours", "limit", "ratio", "target");
    return true;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) report(run);
    std::fflush(stdout);
  }

  [[nodiscard]] bool all_reached() const { return reached_ && any_; }

 private:
  static double counter(const Run& run, const char* name) {
    const auto found = run.counters.find(name);
    return found == run.counters.end() ? 0 : found->second.value;
  }

  void report(const Run& run) {
    const std::string name = run.run_name.function_name;
    any_ = true;
    if (run.error_occurred) {
      std::printf("%-40s %s\n", name.c_str(), run.error_message.c_str());
      reached_ = false;
      return;
    }
    const bool wall = run.counters.contains("ours_ms");
    const double ratio = counter(run, "ratio");
    const double target = counter(run, "target");
    const bool missed = ratio < target;
    std::printf("%-40s %9.1f %s %9.1f %s %7.2f %7.2f%s\n", name.c_str(),
                counter(run, wall ? "ours_ms" : "ours_ns"), wall ? "ms" : "ns",
                counter(run, wall ? "limit_ms" : "limit_ns"), wall ? "ms" : "ns", ratio, target,
                missed ? "  MISSED" : "");
    reached_ = reached_ && !missed;
  }

  bool reached_ = true;
  bool any_ = false;
};

double wall_ms_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void hold(benchmark::State& state, const Deadline& deadline) {
  std::vector<double> times;
  deadline.ours();
  for (std::size_t i = 0; i < deadline.turns; ++i) times.push_back(wall_ms_of(deadline.ours));
  const double ours = median(times);
  state.SetIterationTime(ours * 1e-3);
  state.counters["ours_ms"] = ours;
  state.counters["limit_ms"] = deadline.limit_ms;
  state.counters["ratio"] = deadline.limit_ms / ours;
  state.counters["target"] = 1;
}

void hold(benchmark::State& state, const Race& race) {
  std::vector<double> ours;
  std::vector<double> limit;
  std::vector<double> ratios;
  const auto run = [&race](std::vector<double>& times, const std::function<void()>& work) {
    race.prepare();
    times.push_back(wall_ms_of(work));
  };
  for (std::size_t round = 0; round < race.rounds; ++round) {
    if (round % 2 == 1) run(limit, race.limit);
    run(ours, race.ours);
    if (round % 2 == 0) run(limit, race.limit);
    ratios.push_back(limit.back() / ours.back());
  }
  race.finish();
  state.SetIterationTime(median(ours) * 1e-3);
  state.counters["ours_ms"] = median(ours);
  state.counters["limit_ms"] = median(limit);
  state.counters["ratio"] = median(ratios);
  state.counters["target"] = race.target;
}

// `what` runs once, as one iteration of a benchmark that keeps its own time.
template <class What, class Run>
void enlist(What what, Run run) {
  const auto shared = std::make_shared<const What>(std::move(what));
  benchmark::RegisterBenchmark(shared->name.c_str(),
                               [shared, run](benchmark::State& state) {
                                 for ([[maybe_unused]] auto once : state) run(state, *shared);
                               })
      ->Iterations(1)
      ->UseManualTime();
}

}  // namespace

void add(Contest contest) {
  enlist(std::move(contest), [](auto& state, const Contest& what) { hold(state, what); });
}
void add(Deadline deadline) {
  enlist(std::move(deadline), [](auto& state, const Deadline& what) { hold(state, what); });
}
void add(Race race) {
  enlist(std::move(race), [](auto& state, const Race& what) { hold(state, what); });
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Verdicts verdicts;
  benchmark::RunSpecifiedBenchmarks(&verdicts);
  return verdicts.all_reached() ? 0 : 1;
}

void give_up(const std::string& why) {
  std::fprintf(stderr, "microvmi_bench: %s\n", why.c_str());
  std::exit(1);
}

}  // namespace microvmi::bench
