// SPDX-License-Identifier: Apache-2.0
// Which connector the arguments belong to, and which arguments a stronger source overrules.
#include "init/connector_args.hpp"

#include <algorithm>
#include <iterator>

#include "init/common_keys.hpp"
#include "init/memflow_text.hpp"

namespace microvmi {
namespace {

using param::Setting;

std::string name_of(Connector connector) { return param::Value<Connector>::format(connector); }

std::string key_of(Connector connector, std::string_view name) {
  return "memflow." + name_of(connector) + '.' + std::string(name);
}

const param::Info* row_of(std::string_view key) {
  return param::find(param::table<DriverInitParams>(), key);
}

bool knows(Connector connector, std::string_view name) {
  return row_of(key_of(connector, name)) != nullptr;
}

bool is_connector(const Setting& one) {
  const param::Info* row = row_of(one.key);
  return row && row->key.view() == "memflow.connector";
}

// The connector whose argument this is.
std::optional<Connector> owner_of(const Setting& one) {
  const param::Info* row = row_of(one.key);
  for (std::size_t i = 0; row && i < kConnectorNames.size(); ++i)
    if (row->key.view().starts_with(key_of(static_cast<Connector>(i), "")))
      return static_cast<Connector>(i);
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& words, const char* last) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i)
    out += (i == 0 ? "" : i + 1 == words.size() ? last : ", ") + words[i];
  return out;
}

class Expansion {
 public:
  explicit Expansion(std::vector<Setting> settings) {
    std::vector<Setting> texts;
    for (Setting& one : settings)
      (is_connector_args(one.key) ? texts : out_.settings).push_back(std::move(one));
    for (const Setting& text : texts) read(text);
    if (!args_.empty()) give_out();
    settle();
    drop_other_guests();
    lend_common_pid();
  }

  Expanded take() && { return std::move(out_); }

 private:
  struct Arg {
    MemflowArg arg;
    Setting from;  // the text it stood in
  };

  void report(const Setting& from, std::string message) {
    out_.problems.push_back({.key = "memflow.connector-args",
                             .message = std::move(message),
                             .value = from.value,
                             .origin = from.origin});
  }

  void read(const Setting& text) {
    auto args = read_memflow_args(text.value);
    if (!args) return report(text, args.error() + ", in '" + text.value + "'");
    for (MemflowArg& arg : *args) args_.push_back({std::move(arg), text});
  }

  void give_out() {
    const auto named = strongest_connector();
    if (named && !named->connector) return;  // that it names no connector is told by its own row
    const auto connector = named ? named->connector : only_owner();
    if (!connector) return;
    for (const Arg& one : args_) {
      std::string key = key_of(*connector, name_for(*connector, one.arg));
      out_.settings.push_back({std::move(key), value_for(one.arg), one.from.origin});
    }
  }

  // memflow calls a bare value its target, pcileech calls it default.
  static std::string name_for(Connector connector, const MemflowArg& arg) {
    if (!arg.name.empty()) return arg.name;
    return knows(connector, "target") ? "target" : "default";
  }

  // memflow reads these two as hex without a prefix.
  static std::string value_for(const MemflowArg& arg) {
    const bool is_hex =
        (param::same_key(arg.name, "map-base") || param::same_key(arg.name, "map-size")) &&
        !arg.value.empty() &&
        arg.value.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    return is_hex ? "0x" + arg.value : arg.value;
  }

  struct Named {
    std::optional<Connector> connector;  // null where the value names none
    const Setting* from;
  };

  [[nodiscard]] std::optional<Named> strongest_connector() const {
    const Setting* best = nullptr;
    for (const Setting& one : out_.settings)
      if (is_connector(one) && (!best || one.origin.source < best->origin.source)) best = &one;
    if (!best) return std::nullopt;
    const auto connector = param::Value<Connector>::parse(best->value);
    return Named{connector ? std::optional(*connector) : std::nullopt, best};
  }

  [[nodiscard]] static std::vector<std::string> owners_of(const MemflowArg& arg) {
    std::vector<std::string> owners;
    for (std::size_t i = 0; i < kConnectorNames.size(); ++i) {
      const auto connector = static_cast<Connector>(i);
      if (knows(connector, name_for(connector, arg))) owners.push_back(name_of(connector));
    }
    return owners;
  }

  // The one connector that knows every argument. Arguments under a connector's own keys count too.
  std::optional<Connector> only_owner() {
    std::vector<std::string> common(kConnectorNames.begin(), kConnectorNames.end());
    const auto keep = [&common](const std::vector<std::string>& owners) {
      std::erase_if(common, [&owners](const std::string& one) {
        return std::ranges::find(owners, one) == owners.end();
      });
    };
    for (const Setting& one : out_.settings)
      if (const auto owner = owner_of(one)) keep({name_of(*owner)});
    std::string parts;
    for (const Arg& one : args_) {
      const auto owners = owners_of(one.arg);
      const std::string name = one.arg.name.empty() ? one.arg.value : one.arg.name;
      if (owners.empty()) {
        report(one.from, "has '" + name + "', which is an argument of no connector");
        return std::nullopt;
      }
      parts += (parts.empty() ? "" : ", ") + name + " of " + joined(owners, " or ");
      keep(owners);
    }
    if (common.size() == 1) return *param::Value<Connector>::parse(common.front());
    report(args_.front().from, common.empty() ? "belongs to no single connector: " + parts
                                              : "may belong to " + joined(common, " or ") +
                                                    "; name one with memflow.connector");
    return std::nullopt;
  }

  // Name and arguments of a connector are one choice: where they differ, the stronger is heard.
  void settle() {
    const auto named = strongest_connector();
    if (!named || !named->connector) return;
    const Setting name = *named->from;
    const Setting* args = nullptr;
    for (const Setting& one : out_.settings)
      if (owner_of(one) && owner_of(one) != named->connector &&
          (!args || one.origin.source < args->origin.source))
        args = &one;
    if (!args) return;
    const Setting strongest = *args;
    if (name.origin.source < strongest.origin.source)
      drop([&](const Setting& one) { return owner_of(one) && owner_of(one) != named->connector; },
           name);
    else if (strongest.origin.source < name.origin.source)
      drop(is_connector, strongest);
  }

  // Who names a guest on the command line does not get the one that a file names for a driver.
  void drop_other_guests() {
    for (const std::string_view common : kCommonKeys) {
      const Setting* best = nullptr;
      for (const Setting& one : out_.settings) {
        const param::Info* row = row_of(one.key);
        if (row && row->key.view() == common && (!best || one.origin.source < best->origin.source))
          best = &one;
      }
      if (!best) continue;
      const Setting named = *best;
      drop([&](const Setting& one) { return names_another(one, common); }, named);
    }
  }

  // The same key of a driver's own, which would win; and for a pid all of a driver that knows none.
  static bool names_another(const Setting& one, std::string_view common) {
    const param::Info* row = row_of(one.key);
    if (!row) return false;
    const std::string_view key = row->key.view();
    if (key.ends_with('.' + std::string(common))) return true;
    const auto driver = param::Value<DriverType>::parse(key.substr(0, key.find('.')));
    return driver && std::ranges::find(common_keys(*driver), common) == common_keys(*driver).end();
  }

  void drop(const auto& which, const Setting& winner) {
    const std::string reason =
        winner.key + "=" + winner.value + " is set by " + to_text(winner.origin);
    std::erase_if(out_.settings, [&](const Setting& one) {
      if (!which(one) || one.origin.source <= winner.origin.source) return false;
      out_.overruled.push_back({one, reason});
      return true;
    });
  }

  // The kvm connector's pid may be the common one.
  void lend_common_pid() {
    const auto named = strongest_connector();
    bool is_kvm = named && named->connector == Connector::kvm;
    std::vector<Setting> pids;
    for (const Setting& one : out_.settings) {
      const param::Info* row = row_of(one.key);
      if (!row) continue;
      if (row->key.view() == kKvmPid) return;
      if (row->key.view() == "pid") pids.push_back({std::string(kKvmPid), one.value, one.origin});
      is_kvm = is_kvm || owner_of(one) == Connector::kvm;
    }
    if (is_kvm) std::ranges::move(pids, std::back_inserter(out_.settings));
  }

  static constexpr std::string_view kKvmPid = "memflow.kvm.pid";

  Expanded out_;
  std::vector<Arg> args_;
};

}  // namespace

bool is_connector_args(std::string_view key) {
  return param::same_key(key, "memflow.connector-args");
}

Expanded expand(std::vector<param::Setting> settings) {
  return Expansion(std::move(settings)).take();
}

}  // namespace microvmi
