// SPDX-License-Identifier: Apache-2.0
// Every way to give or to see a parameter, row by row: none may drift from the others.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "microvmi/init_args.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

using param::Info;

const param::Table kAll = param::table<DriverInitParams>();

// A value that the row takes and that is not its default.
std::string sample(const Info& info) {
  switch (info.kind) {
    case param::Kind::flag:
      return "yes";
    case param::Kind::integer:
      return "77";
    case param::Kind::size:
      return "3G";
    case param::Kind::duration:
      return "77ms";
    case param::Kind::choice:
      return info.choices.back();
    case param::Kind::path:
      return "/tmp/a b";
    case param::Kind::text:
      break;
  }
  if (info.key.view() == "memflow.coredump.map") return "4G:1G:2G";
  if (info.key.view() == "xen.uuid") return "01234567-89ab-cdef-0123-456789abcdef";
  return "a text";
}

// The row itself and what it cannot be without.
std::vector<param::Setting> settings_for(const Info& info) {
  std::vector<param::Setting> out{{std::string(info.key.view()), sample(info)}};
  const auto with = [&](const char* key, const char* value) {
    if (info.key.view() != key) out.push_back({key, value});
  };
  const std::string_view key = info.key.view();
  if (key.starts_with("kvm.vsock"))
    with("kvm.vsock-port", "1");
  else if (key.starts_with("kvm."))
    with("kvm.unix-socket", "/s");
  if (key.starts_with("memflow.kvm.")) with("memflow.kvm.pid", "1");
  if (key == "memflow.connector" || key.starts_with("memflow.coredump."))
    with("memflow.coredump.filepath", "/a");
  if (key == "memflow.coredump.map") with("memflow.coredump.format", "raw");
  if (key == "memflow.qemu-procfs.map-base") with("memflow.qemu-procfs.map-size", "1G");
  if (key == "memflow.qemu-procfs.map-size") with("memflow.qemu-procfs.map-base", "4096");
  return out;
}

std::string toml_of(const std::vector<param::Setting>& settings) {
  std::string out;
  for (const param::Setting& one : settings) out += one.key + " = \"" + one.value + "\"\n";
  return out;
}

DriverParams from_environment(const std::vector<param::Setting>& settings) {
  std::vector<std::string> names;
  for (const param::Setting& one : settings) {
    std::string name = "MICROVMI_PARAM_" + one.key;
    for (char& c : name) c = param::is_joint(c) ? '_' : static_cast<char>(std::toupper(c));
    ::setenv(name.c_str(), one.value.c_str(), 1);
    names.push_back(name);
  }
  auto out = DriverParams::from_environment();
  for (const std::string& name : names) ::unsetenv(name.c_str());
  return out;
}

DriverParams from_options(const std::vector<param::Setting>& settings) {
  DriverParams out;
  for (const param::Setting& one : settings) {
    const Info* info = param::find(kAll, one.key);
    out.insert_option(info ? param::option_of(*info) : one.key, one.value);
  }
  return out;
}

DriverInitParams value_of(const DriverParams& params) {
  const auto read = params.read();
  EXPECT_TRUE(read) << param::to_error(read.error()).message;
  return read ? *read : DriverInitParams{};
}

class EveryView : public testing::TestWithParam<std::size_t> {
 protected:
  const Info& info_ = kAll.rows[GetParam()];
  std::vector<param::Setting> settings_ = settings_for(info_);
};

TEST_P(EveryView, GivesTheSameTypedParameters) {
  const auto typed = DriverParams(settings_).read();
  ASSERT_TRUE(typed) << param::to_error(typed.error()).message;
  // The typed struct says it back: this is what the code API holds.
  const auto back = param::settings_of(*typed);
  const auto own = std::ranges::find(back, info_.key.view(), &param::Setting::key);
  ASSERT_NE(own, back.end());
  EXPECT_EQ(own->value, sample(info_));

  EXPECT_EQ(value_of(from_options(settings_)), *typed) << "options";
  EXPECT_EQ(value_of(from_environment(settings_)), *typed) << "environment";
  const auto toml = DriverParams::from_toml(toml_of(settings_), "t.toml");
  ASSERT_TRUE(toml) << toml.error().message;
  EXPECT_EQ(value_of(*toml), *typed) << "TOML";
  const auto url = DriverParams::from_url(to_url({}, settings_));
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(value_of(url->params), *typed) << "URL";
  const auto text = DriverParams::from_text(param::join(settings_));
  ASSERT_TRUE(text);
  EXPECT_EQ(value_of(*text), *typed) << "text";
}

TEST_P(EveryView, TellsTheSame) {
  const auto all = every_init_arg();
  const DriverInitParamDesc& desc = all.at(GetParam());
  EXPECT_EQ(desc.name, info_.key.view());
  EXPECT_EQ(desc.description, info_.help);
  EXPECT_EQ(desc.required, info_.presence == param::Presence::required);

  const auto json = nlohmann::json::parse(param::json(all)).at(GetParam());
  EXPECT_EQ(json.at("key"), desc.name);
  EXPECT_EQ(json.at("option"), desc.option);
  EXPECT_EQ(json.at("group"), desc.group);
  EXPECT_EQ(json.at("type"), desc.type);
  EXPECT_EQ(json.at("presence"), desc.presence);
  EXPECT_EQ(json.at("choices"), desc.choices);
  EXPECT_EQ(json.at("help"), desc.description);
  EXPECT_EQ(json.at("aliases"), desc.aliases);
  EXPECT_EQ(json.at("repeated"), desc.repeated);
  EXPECT_EQ(json.at("default").is_null(), desc.default_value.empty());
  EXPECT_EQ(json.size(), 10U);

  const std::string help = param::help(all);
  EXPECT_NE(help.find("  " + desc.option), std::string::npos);
  EXPECT_NE(help.find(desc.description), std::string::npos);
  EXPECT_EQ(DriverParams().explain().at(GetParam()).key, desc.name);
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryView, testing::Range<std::size_t>(0, kAll.rows.size()),
                         [](const auto& row) {
                           std::string name(kAll.rows[row.param].key.view());
                           std::ranges::replace_if(name, param::is_joint, '_');
                           return name;
                         });

TEST(PossibleInitArgs, BeginWithTheCommonOnesThatTheDriverTakes) {
  const auto names_of = [](const std::vector<DriverInitParamDesc>& rows) {
    std::vector<std::string> out;
    for (const auto& one : rows)
      if (!one.name.contains('.')) out.push_back(one.name);
    return out;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of(possible_init_args(DriverType::xen)), Names{"vm-name"});
  EXPECT_EQ(names_of(possible_init_args(DriverType::kvm)), Names{"vm-name"});
  EXPECT_EQ(names_of(possible_init_args(DriverType::qemu)), (Names{"vm-name", "pid"}));
  EXPECT_EQ(names_of(possible_init_args(DriverType::memflow)), (Names{"vm-name", "pid"}));
  EXPECT_EQ(names_of(possible_init_args(Connector::qemu_procfs)), (Names{"vm-name", "pid"}));
  EXPECT_EQ(names_of(possible_init_args(Connector::kvm)), (Names{"vm-name", "pid"}));
  EXPECT_EQ(names_of(possible_init_args(Connector::pcileech)), Names{});
  EXPECT_EQ(names_of(possible_init_args(Connector::coredump)), Names{});
}

TEST(PossibleInitArgs, OfAllDriversAreAllThereAre) {
  std::vector<std::string> seen;
  for (const auto& [driver, rows] : possible_init_args())
    for (const auto& one : rows)
      if (std::ranges::find(seen, one.name) == seen.end()) seen.push_back(one.name);
  EXPECT_EQ(seen.size(), kAll.rows.size());
}

}  // namespace
}  // namespace microvmi
