// SPDX-License-Identifier: Apache-2.0
// The progress line, on stderr.
#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "terminal.hpp"

namespace microvmi::tool {
namespace {

void put(const std::string& text) {
  static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) > 0);
}

}  // namespace

std::string progress_line(const DumpProgress& progress, std::chrono::duration<double> elapsed) {
  const auto done = static_cast<double>(progress.done);
  const auto total = static_cast<double>(progress.total);
  const double rate = elapsed.count() > 0 ? done / elapsed.count() : 0;
  std::string out = fmt::format("{:>4.0f}%  {} of {}", total > 0 ? 100 * done / total : 100,
                                human_size(progress.done), human_size(progress.total));
  if (rate < 1) return out;
  const auto left = static_cast<std::int64_t>((total - done) / rate + 0.5);
  return out + fmt::format("  {}/s  {} left  at {}", human_size(static_cast<std::uint64_t>(rate)),
                           human_time(std::chrono::seconds(left)), hex(to_integer(progress.at)));
}

Progress::Progress() : on_(is_terminal(STDERR_FILENO)) {}

Progress::~Progress() {
  if (on_) put("\r\x1b[K");
}

void Progress::show(const DumpProgress& progress) {
  if (on_)
    put('\r' + progress_line(progress, std::chrono::steady_clock::now() - start_) + "\x1b[K");
}

}  // namespace microvmi::tool
