// SPDX-License-Identifier: Apache-2.0
// The command line; so far it tells what each driver takes.
#include <cstdio>
#include <string>
#include <string_view>

#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace {

namespace param = microvmi::param;

std::string help() {
  std::string out;
  for (const microvmi::DriverInfo& driver : microvmi::drivers()) {
    std::string name = name_of(driver.type);
    name.resize(10, ' ');
    out += name + driver.summary + (driver.open ? "\n" : "; not in this build\n");
  }
  return out + param::help(param::table<microvmi::DriverInitParams>());
}

std::string json() {
  const param::Table all = param::table<microvmi::DriverInitParams>();
  std::string out = "[";
  for (const microvmi::DriverInfo& driver : microvmi::drivers()) {
    const std::string name = name_of(driver.type);
    out += std::string(out.size() > 1 ? ",\n" : "") + R"({"name": ")" + name;
    out += R"(", "summary": ")" + std::string(driver.summary);
    out += std::string(R"(", "available": )") + (driver.open ? "true" : "false");
    out += R"(, "params": )" + param::json(all.within(name)) + '}';
  }
  return out + "]\n";
}

int print(const std::string& text) { return std::fputs(text.c_str(), stdout) < 0 ? 1 : 0; }

}  // namespace

int main(int argc, char** argv) {
  const auto word = [&](int i) { return i < argc ? std::string_view(argv[i]) : ""; };
  if (word(1) == "drivers" && word(2).empty()) return print(help());
  if (word(1) == "drivers" && word(2) == "--json") return print(json());
  std::fputs("usage: microvmi drivers [--json]\n", stderr);
  return 2;
}
