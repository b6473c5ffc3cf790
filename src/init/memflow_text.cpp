// SPDX-License-Identifier: Apache-2.0
// Splitting at ':', ',' and '=' outside quotes.
#include "init/memflow_text.hpp"

#include <algorithm>

namespace microvmi {
namespace {

bool is_quote(char c) { return c == '"' || c == '\'' || c == '`'; }

// Where `wanted` stands first outside quotes; the end where it does not. A quote opens only where
// a value begins, so that an apostrophe inside a name is only itself.
std::size_t find_outside(std::string_view text, char wanted) {
  char open = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || std::string_view(":,=").contains(text[i - 1]);
    if (open != 0)
      open = text[i] == open ? '\0' : open;
    else if (text[i] == wanted)
      return i;
    else if (begins && is_quote(text[i]) && text.find(text[i], i + 1) != std::string_view::npos)
      open = text[i];
  }
  return text.size();
}

std::string_view take(std::string_view& text, char separator) {
  const std::string_view piece = text.substr(0, find_outside(text, separator));
  text.remove_prefix(std::min(piece.size() + 1, text.size()));
  return piece;
}

std::string unquoted(std::string_view text) {
  const bool quoted = text.size() > 1 && is_quote(text.front()) && text.back() == text.front();
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

using Args = std::vector<MemflowArg>;

// "value,key=value,key=value"
std::expected<void, std::string> add_pairs(std::string_view text, Args& args) {
  bool first = true;
  while (!text.empty()) {
    const std::string_view piece = take(text, ',');
    const std::size_t equals = find_outside(piece, '=');
    const bool bare = equals == piece.size();
    if (bare && !first)
      return std::unexpected("has '" + std::string(piece) +
                             "' without '='; a value with a comma stands in quotes");
    if (!bare && equals == 0)
      return std::unexpected("has a value without a name, '" + std::string(piece) + "'");
    if (bare)
      args.push_back({"", unquoted(piece)});
    else
      args.push_back({std::string(piece.substr(0, equals)), unquoted(piece.substr(equals + 1))});
    first = false;
  }
  return {};
}

}  // namespace

std::expected<Args, std::string> read_memflow_args(std::string_view text) {
  Args args;
  const std::string_view head = text.substr(0, find_outside(text, ':'));
  // "device=fpga://x" begins with a key, so its colon is no separator.
  if (head.size() != text.size() && find_outside(head, '=') == head.size()) {
    if (!head.empty()) args.push_back({"target", unquoted(head)});
    text.remove_prefix(head.size() + 1);
    const std::string_view extra = take(text, ':');
    if (!text.empty())
      return std::unexpected("has arguments of memflow's cache, '" + std::string(text) +
                             "', which this library has no use for");
    text = extra;
  }
  if (const auto done = add_pairs(text, args); !done) return std::unexpected(done.error());
  if (args.empty()) return std::unexpected("expects arguments");
  return args;
}

}  // namespace microvmi
