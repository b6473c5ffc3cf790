// SPDX-License-Identifier: Apache-2.0
// vmi://DRIVER/?key=value: read and written. Generic syntax as in RFC 3986.
#include <algorithm>
#include <array>

#include "init/letters.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

constexpr std::string_view kScheme = "vmi://";
constexpr const char* kForm = "write vmi://DRIVER/?key=value&key=value";

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

Expected<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? digit(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return fail(Errc::invalid_argument,
                  "in the URL, '%' is not followed by two hex digits: '" + std::string(text) + "'",
                  {}, "write a percent sign as %25");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// RFC 3986 section 2.3, and what may stand in a query unencoded and is no separator of ours.
bool stays(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~/:@,").find(c) != std::string_view::npos;
}

std::string encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (stays(c))
      out += c;
    else
      out.append({'%', kHex[byte / 16], kHex[byte % 16]});
  }
  return out;
}

bool is_own_key(const std::string& key) {
  const param::Info* row = param::find(param::table<DriverInitParams>(), key);
  return row && param::same_key(row->key.view(), key);
}

// The driver's own key, else a whole one, else one of the driver's other names. So "pid" is
// qemu.pid for qemu, and for memflow the common pid rather than memflow-pid, which is kvm's.
std::string whole_key(const std::optional<DriverType>& driver, std::string key) {
  if (!driver) return key;
  std::string own = std::string(name_of(*driver)) + '.' + key;
  if (is_own_key(own) || (!is_init_param(key) && is_init_param(own))) return own;
  return key;
}

Expected<std::optional<DriverType>> driver_of(std::string_view authority) {
  if (authority.find_first_of("@:") != std::string_view::npos)
    return fail(Errc::invalid_argument,
                "the URL has a user, password or port in '" + std::string(authority) + "'", {},
                kForm);
  if (authority.empty()) return std::nullopt;
  const auto driver = param::Value<DriverType>::parse(lowered(authority));
  if (!driver)
    return fail(
        Errc::invalid_argument,
        "the driver of the URL " + driver.error() + ", not '" + std::string(authority) + "'", {},
        kForm);
  return *driver;
}

}  // namespace

Expected<VmiUrl> DriverParams::from_url(std::string_view url) {
  if (lowered(url.substr(0, kScheme.size())) != kScheme)
    return fail(Errc::invalid_argument, "the URL does not begin with vmi://", {}, kForm);
  const std::string_view rest = url.substr(kScheme.size());
  if (rest.contains('#'))
    return fail(Errc::invalid_argument, "the URL has a '#'", {}, "write it as %23");
  const std::string_view place = rest.substr(0, rest.find('?'));
  const std::string_view authority = place.substr(0, place.find('/'));
  if (place.size() > authority.size() + 1)
    return fail(Errc::invalid_argument,
                "the URL has a path, '" + std::string(place.substr(authority.size())) + "'", {},
                std::string(kForm) + "; a file is memflow.coredump.filepath=" +
                    std::string(place.substr(authority.size())));
  const auto driver = driver_of(authority);
  if (!driver) return std::unexpected(driver.error());

  VmiUrl out{.driver = *driver};
  std::string_view query = rest.substr(std::min(place.size() + 1, rest.size()));
  while (!query.empty()) {
    const std::string_view piece = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(piece.size() + 1, query.size()));
    if (piece.empty()) continue;
    const std::size_t equals = std::min(piece.find('='), piece.size());
    auto key = decoded(piece.substr(0, equals));
    auto value = decoded(piece.substr(std::min(equals + 1, piece.size())));
    if (!key) return std::unexpected(key.error());
    if (!value) return std::unexpected(value.error());
    if (key->empty())
      return fail(Errc::invalid_argument, "the URL has a value without a key", {}, kForm);
    out.params.insert(whole_key(out.driver, *key), *std::move(value), {param::Source::url, *key});
  }
  return out;
}

std::string to_url(std::optional<DriverType> driver, std::span<const param::Setting> settings) {
  std::string out = std::string(kScheme) + (driver ? name_of(*driver) : "") + '/';
  char separator = '?';
  for (const param::Setting& one : settings) {
    out.append(1, std::exchange(separator, '&')).append(encoded(one.key));
    out.append("=").append(encoded(one.value));
  }
  return out;
}

}  // namespace microvmi
