// SPDX-License-Identifier: Apache-2.0
// Parameters from a TOML file.
#include <toml++/toml.h>
#include <algorithm>
#include <sstream>

#include "init/connector_args.hpp"
#include "init/native.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

constexpr std::size_t kFileLimit = 1 << 20;  // parameters fill a page; more is another file

// Each dot of a key opens a table in a table, and both toml++ and we walk them by recursion.
constexpr std::ptrdiff_t kDotLimit = 200;

const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::integer:
      return "a number";
    case toml::node_type::string:
      return "a text";
    default:
      return "a date or time";
  }
}

// What a row of this kind takes besides a text in quotes; null where nothing.
bool takes(param::Kind kind, const toml::node& node) {
  if (node.is_string()) return true;
  switch (kind) {
    case param::Kind::flag:
      return node.is_boolean();
    case param::Kind::integer:
    case param::Kind::size:
    case param::Kind::duration:
      return node.is_integer();
    default:
      return false;
  }
}

const char* expected_by(param::Kind kind) {
  switch (kind) {
    case param::Kind::flag:
      return "true or false";
    case param::Kind::integer:
      return "an integer";
    case param::Kind::size:
      return "a size such as 4096 or \"4G\"";
    case param::Kind::duration:
      return "a duration in quotes such as \"5s\"";
    default:
      return "a text in quotes";
  }
}

std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return {};
}

// toml++ hands tables over by name; people read them by line.
template <class T>
struct AtLine {
  std::uint32_t line;
  T what;
};

template <class T>
std::vector<T> by_line(std::vector<AtLine<T>> all) {
  std::ranges::stable_sort(all, {}, &AtLine<T>::line);
  std::vector<T> out;
  for (AtLine<T>& one : all) out.push_back(std::move(one.what));
  return out;
}

class Walk {
 public:
  explicit Walk(const std::string& name) : name_(name), table_(param::table<DriverInitParams>()) {}

  void enter(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string path = prefix + std::string(key.str());
      if (const toml::table* inner = node.as_table())
        enter(*inner, path + '.');
      else if (const toml::array* list = node.as_array())
        add_all(path, *list);
      else
        add(path, node);
    }
  }

  std::vector<AtLine<param::Setting>> settings;
  std::vector<AtLine<param::Problem>> problems;

 private:
  void add_all(const std::string& key, const toml::array& list) {
    if (list.empty()) report(key, list, "expects a value", "a value");
    for (const toml::node& node : list) add(key, node);
  }

  void add(const std::string& key, const toml::node& node) {
    const param::Info* row = param::find(table_, key);
    const param::Kind kind = row ? row->kind : param::Kind::text;
    // A key that nobody knows is left for read(), which names the nearest one.
    if (node.is_value() && (takes(kind, node) || (!row && !is_connector_args(key)))) {
      settings.push_back({node.source().begin.line,
                          {.key = key, .value = text_of(node), .origin = origin_of(node)}});
      return;
    }
    const std::string expected = expected_by(kind);
    report(key, node, "expects " + expected + ", not " + kind_of(node), expected);
  }

  void report(const std::string& key, const toml::node& node, std::string message,
              std::string expected) {
    problems.push_back({node.source().begin.line,
                        {.key = key,
                         .message = std::move(message),
                         .value = text_of(node),
                         .origin = origin_of(node),
                         .expected = std::move(expected)}});
  }

  [[nodiscard]] param::Origin origin_of(const toml::node& node) const {
    return {param::Source::file, name_ + ':' + std::to_string(node.source().begin.line)};
  }

  const std::string& name_;
  param::Table table_;
};

Expected<void> check_depth(std::string_view text, const std::string& name) {
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::string_view one = text.substr(0, text.find('\n'));
    if (std::ranges::count(one, '.') > kDotLimit)
      return fail(Errc::invalid_argument, name + ':' + std::to_string(line) + " has more than " +
                                              std::to_string(kDotLimit) + " dots");
    text.remove_prefix(std::min(one.size() + 1, text.size()));
  }
  return {};
}

Error syntax_error(const toml::parse_error& error, const std::string& name) {
  const toml::source_position at = error.source().begin;
  return {.code = Errc::invalid_argument,
          .message = name + ':' + std::to_string(at.line) + ':' + std::to_string(at.column) + ": " +
                     std::string(error.description()),
          .hint = "write it as TOML: key = \"value\", and [driver] before its keys"};
}

}  // namespace

Expected<DriverParams> DriverParams::from_toml(std::string_view text, const std::string& name) {
  if (const auto done = check_depth(text, name); !done) return std::unexpected(done.error());
  try {
    const toml::table root = toml::parse(text, name);
    Walk walk(name);
    walk.enter(root, "");
    DriverParams out(by_line(std::move(walk.settings)));
    out.problems_ = by_line(std::move(walk.problems));
    return out;
  } catch (const toml::parse_error& error) {
    return std::unexpected(syntax_error(error, name));
  }
}

Expected<DriverParams> DriverParams::from_file(const std::filesystem::path& path) {
  const auto text = read_text_file(path, kFileLimit);
  if (!text) return std::unexpected(text.error());
  return from_toml(*text, path.string());
}

}  // namespace microvmi
