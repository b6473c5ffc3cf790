// SPDX-License-Identifier: Apache-2.0
// Lines of proc_pid_maps(5): "start-end perms offset major:minor inode   path".
#include "host/linux/maps.hpp"

#include <charconv>
#include <optional>

#include "host/linux/descriptor.hpp"
#include "host/linux/proc.hpp"

namespace microvmi::host {
namespace {

// 65530 mappings (vm.max_map_count) of the length that memory files have, with room to spare.
constexpr std::size_t kMapsLimit = std::size_t{64} << 20;

class Line {
 public:
  explicit Line(std::string_view rest) : rest_(rest) {}

  // A number that ends in `end`, which is taken too.
  template <class T>
  bool number(T& out, int base, char end) {
    const auto [stop, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), out, base);
    const auto used = static_cast<std::size_t>(stop - rest_.data());
    if (error != std::errc() || used >= rest_.size() || rest_[used] != end) return false;
    rest_.remove_prefix(used + 1);
    return true;
  }

  bool flag(char yes, char no, bool& out) {
    if (rest_.empty() || (rest_[0] != yes && rest_[0] != no)) return false;
    out = rest_[0] == yes;
    rest_.remove_prefix(1);
    return true;
  }

  bool skip(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  [[nodiscard]] std::string_view padded_rest() const {
    const std::size_t first = rest_.find_first_not_of(' ');
    return first == std::string_view::npos ? std::string_view() : rest_.substr(first);
  }

 private:
  std::string_view rest_;
};

// The kernel escapes the newline alone (seq_file_path with "\n").
std::string unescaped(std::string_view path) {
  constexpr std::string_view kNewline = "\\012";
  std::string out;
  while (!path.empty()) {
    const std::size_t at = path.find(kNewline);
    out += path.substr(0, at);
    if (at == std::string_view::npos) break;
    out += '\n';
    path.remove_prefix(at + kNewline.size());
  }
  return out;
}

std::optional<Mapping> parse_line(std::string_view text) {
  Line line(text);
  Mapping m;
  const bool range = line.number(m.start, 16, '-') && line.number(m.end, 16, ' ');
  const bool access = range && line.flag('r', '-', m.read) && line.flag('w', '-', m.write) &&
                      line.flag('x', '-', m.execute) && line.flag('s', 'p', m.shared) &&
                      line.skip(' ');
  const bool file = access && line.number(m.offset, 16, ' ') && line.number(m.dev_major, 16, ':') &&
                    line.number(m.dev_minor, 16, ' ') && line.number(m.inode, 10, ' ');
  if (!file || m.start >= m.end) return std::nullopt;
  m.path = unescaped(line.padded_rest());
  return m;
}

}  // namespace

std::vector<Mapping> parse_maps(std::string_view text) {
  std::vector<Mapping> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    auto mapping = parse_line(text.substr(0, end));
    if (mapping && (out.empty() || out.back().end <= mapping->start))
      out.push_back(*std::move(mapping));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

Expected<std::vector<Mapping>> read_maps(std::uint32_t pid) {
  const auto text = read_text("/proc/" + std::to_string(pid) + "/maps", kMapsLimit);
  if (text) return parse_maps(*text);
  if (text.error().code == Errc::permission_denied) return std::unexpected(why_unreadable(pid));
  return std::unexpected(text.error());
}

}  // namespace microvmi::host
