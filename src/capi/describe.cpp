// SPDX-License-Identifier: Apache-2.0
// The C API: what there is and what it takes.
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "microvmi/init_args.hpp"
#include "microvmi/mvmi.h"
#include "microvmi/scan_json.hpp"

namespace {

using microvmi::Connector;
using microvmi::DriverType;
namespace param = microvmi::param;

// A description with its texts in the form that C wants; it never moves, so they stay valid.
class Row {
 public:
  explicit Row(param::Description row)
      : row_(std::move(row)), choices_(pointers(row_.choices)), aliases_(pointers(row_.aliases)) {}
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  ~Row() = default;

  [[nodiscard]] mvmi_param view() const {
    return {.key = row_.name.c_str(),
            .option = row_.option.c_str(),
            .group = row_.group.c_str(),
            .type = row_.type.c_str(),
            .presence = row_.presence.c_str(),
            .default_value = row_.default_value.empty() ? nullptr : row_.default_value[0].c_str(),
            .help = row_.description.c_str(),
            .choices = choices_.data(),
            .aliases = aliases_.data(),
            .repeated = row_.repeated ? 1 : 0,
            .required = row_.required ? 1 : 0};
  }

 private:
  static std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> out;
    out.reserve(texts.size() + 1);
    for (const std::string& text : texts) out.push_back(text.c_str());
    out.push_back(nullptr);
    return out;
  }

  param::Description row_;
  std::vector<const char*> choices_;
  std::vector<const char*> aliases_;
};

using Rows = std::vector<std::unique_ptr<const Row>>;

template <class Type, std::size_t N>
std::array<Rows, N> rows_of_all() {
  std::array<Rows, N> all;
  for (std::size_t i = 0; i < N; ++i)
    for (auto& one : microvmi::possible_init_args(static_cast<Type>(i)))
      all[i].push_back(std::make_unique<const Row>(std::move(one)));
  return all;
}

int give(const Rows& rows, std::size_t index, mvmi_param* out) {
  if (index >= rows.size()) return 0;
  *out = rows[index]->view();
  return 1;
}

// The place of a name among its kind; null where nobody knows it.
template <class Type>
std::optional<std::size_t> find(const char* name) {
  if (!name) return std::nullopt;
  const auto parsed = param::Value<Type>::parse(name);
  return parsed ? std::optional(static_cast<std::size_t>(*parsed)) : std::nullopt;
}

}  // namespace

const char* mvmi_driver_name(size_t index) {
  return index < microvmi::kDriverNames.size() ? microvmi::kDriverNames[index] : nullptr;
}

const char* mvmi_connector_name(size_t index) {
  return index < microvmi::kConnectorNames.size() ? microvmi::kConnectorNames[index] : nullptr;
}

int mvmi_driver_available(const char* driver) {
  const auto place = find<DriverType>(driver);
  return place && microvmi::drivers()[*place].open ? 1 : 0;
}

int mvmi_connector_available(const char* connector) {
  const auto place = find<Connector>(connector);
  return place && microvmi::connectors()[*place].open ? 1 : 0;
}

int mvmi_driver_param(const char* driver, size_t index, mvmi_param* out) {
  static const auto all = rows_of_all<DriverType, microvmi::kDriverNames.size()>();
  const auto place = find<DriverType>(driver);
  return place && out ? give(all[*place], index, out) : 0;
}

int mvmi_connector_param(const char* connector, size_t index, mvmi_param* out) {
  static const auto all = rows_of_all<Connector, microvmi::kConnectorNames.size()>();
  const auto place = find<Connector>(connector);
  return place && out ? give(all[*place], index, out) : 0;
}

char* mvmi_scan_json() { return ::strdup(microvmi::json(microvmi::scan()).c_str()); }

void mvmi_text_free(char* text) { std::free(text); }
