// SPDX-License-Identifier: Apache-2.0
// The command line: reads it, runs one command, and turns what came of it into an exit code.
#include <unistd.h>

#include <string>
#include <vector>

#include "command_line.hpp"
#include "complete.hpp"
#include "log.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace microvmi::tool {
namespace {

Outcome run(std::vector<std::string> words, Output& out, const std::stop_token& stop) {
  if (!words.empty() && words[0] == kCompleteWord) return complete(words, out);
  CommandLine line;
  if (auto parsed = line.parse(std::move(words)); !parsed) {
    if (parsed.error().code != kOk) return parsed;
    return out.write(parsed.error().text);  // help or the version
  }
  set_verbosity(line.given().verbosity);
  Session session(line.given(), out, stop);
  for (const std::string& problem : line.unknown()) session.wrong(problem);
  return line.run()(session);
}

// Lines of our own; what stands in them may be anybody's.
void print_error(const std::string& text) {
  std::string out;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    out += (start == 0 ? "microvmi: " : "  ") + printable(text.substr(start, end - start)) + '\n';
    start = end + 1;
  }
  static_cast<void>(::write(STDERR_FILENO, out.data(), out.size()) > 0);
}

int exit_code(const Outcome& outcome, const std::stop_token& stop) {
  if (outcome) return kOk;
  if (!outcome.error().text.empty()) print_error(outcome.error().text);
  if (outcome.error().code == kUsage) print_error("see microvmi --help");
  return outcome.error().code == kOk && stop.stop_requested() ? kFailed : outcome.error().code;
}

int run_program(int argc, char** argv) {
  occupy_standard_descriptors();
  const Signals signals;
  Output out(signals.token());
  Outcome outcome = run({argv + (argc > 0 ? 1 : 0), argv + argc}, out, signals.token());
  const Outcome finished = out.finish();
  return exit_code(outcome ? finished : outcome, signals.token());
}

}  // namespace
}  // namespace microvmi::tool

int main(int argc, char** argv) {
  try {
    return microvmi::tool::run_program(argc, argv);
  } catch (const std::exception& error) {  // CLI11, spdlog and JSON throw; the library does not
    microvmi::tool::print_error(error.what());
    return microvmi::tool::kFailed;
  }
}
