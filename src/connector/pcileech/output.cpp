// SPDX-License-Identifier: Apache-2.0
// Keeping the end of what is printed, which is where the reasons stand.
#include "connector/pcileech/output.hpp"

#include <algorithm>

namespace microvmi::pcileech_connector {
namespace {

constexpr std::size_t kMostKept = 64 << 10;  // far more than it prints where nothing is wrong
constexpr std::size_t kMostInError = 600;    // what a reader still takes in

std::string printable(std::string_view line) {
  std::string out(line.substr(0, line.find_last_not_of(" \r") + 1));
  std::ranges::replace_if(
      out, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f' || c < 0; }, '?');
  return out;
}

}  // namespace

void Output::add(std::string_view bytes) {
  text_.append(bytes);
  if (text_.size() <= kMostKept) return;
  const std::size_t surplus = text_.size() - kMostKept;
  text_.erase(0, surplus);
  lost_ += surplus;
}

std::vector<std::string> Output::take(bool all) {
  std::vector<std::string> lines;
  if (lost_ != 0) lines.push_back("(" + std::to_string(lost_) + " bytes before this are left out)");
  lost_ = 0;
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos && !all) break;
    if (std::string line = printable(rest.substr(0, end)); !line.empty())
      lines.push_back(std::move(line));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  text_.erase(0, text_.size() - rest.size());
  return lines;
}

std::string in_one_line(const std::vector<std::string>& lines) {
  std::string out;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (out.size() + line->size() > kMostInError) break;
    out.insert(0, out.empty() ? *line : *line + "; ");
  }
  if (out.empty() && !lines.empty()) out = lines.back().substr(0, kMostInError);
  return out;
}

}  // namespace microvmi::pcileech_connector
