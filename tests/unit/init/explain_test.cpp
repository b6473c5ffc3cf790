// SPDX-License-Identifier: Apache-2.0
// What explain() tells of every parameter, and which guest is meant by own and common keys.
#include <gtest/gtest.h>

#include <algorithm>

#include "microvmi/init_params.hpp"

namespace microvmi {
namespace {

using param::Source;

Explained row(const DriverParams& params, std::string_view key) {
  const auto rows = params.explain();
  const auto found = std::ranges::find(rows, key, &Explained::key);
  return found == rows.end() ? Explained{} : *found;
}

TEST(Explain, HasEveryParameterInTheOrderOfTheRows) {
  const auto rows = DriverParams().explain();
  const param::Table table = param::table<DriverInitParams>();
  ASSERT_EQ(rows.size(), table.rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].key, table.rows[i].key.view());
}

TEST(Explain, TellsTheValueAndWhereItCameFrom) {
  const auto params =
      DriverParams().insert("vm_name", "a", {Source::environment, "MICROVMI_PARAM_VM_NAME"});
  EXPECT_EQ(row(params, "vm-name").values, std::vector<std::string>{"a"});
  EXPECT_EQ(row(params, "vm-name").origin->place, "MICROVMI_PARAM_VM_NAME");
  EXPECT_EQ(row(params, "kvm.timeout").values, std::vector<std::string>{"30s"});
  EXPECT_EQ(row(params, "kvm.timeout").origin->source, Source::default_value);
  EXPECT_FALSE(row(params, "pid").origin);
  EXPECT_TRUE(row(params, "pid").values.empty());
}

TEST(Explain, TellsWhatWasDroppedAndWhy) {
  const auto params = DriverParams()
                          .insert("vm-name", "file", {Source::file, "t.toml:1"})
                          .insert("vm-name", "line", {Source::command_line, "--vm-name"})
                          .insert("kvm.unix-socket", "/a", {Source::file, "t.toml:3"})
                          .insert("kvm.vsock-port", "7", {Source::url, "kvm.vsock-port"});
  const Explained name = row(params, "vm-name");
  EXPECT_EQ(name.values, std::vector<std::string>{"line"});
  ASSERT_EQ(name.dropped.size(), 1U);
  EXPECT_EQ(name.dropped[0].setting.value, "file");
  EXPECT_EQ(name.dropped[0].reason, "vm-name is set by command line --vm-name");
  const Explained socket = row(params, "kvm.unix-socket");
  EXPECT_TRUE(socket.values.empty()) << "the other alternative is stronger";
  ASSERT_EQ(socket.dropped.size(), 1U);
  EXPECT_EQ(socket.dropped[0].reason, "kvm.vsock-port is set by url kvm.vsock-port");
}

TEST(Explain, KnowsConnectorArgumentsAndTheirStrength) {
  const auto params = DriverParams()
                          .insert("memflow.connector-args", "device=usb3380", {Source::file, "f:1"})
                          .insert("memflow.connector", "kvm", {Source::command_line, "--c"})
                          .insert("memflow.coredump.filepath", "/a", {Source::file, "f:2"});
  ASSERT_EQ(row(params, "memflow.coredump.filepath").dropped.size(), 1U);
  EXPECT_EQ(row(params, "memflow.coredump.filepath").dropped[0].reason,
            "memflow.connector=kvm is set by command line --c");
}

TEST(Explain, AGuestThatAStrongerSourceNamesIsNotReplacedByOneOfAWeakerSource) {
  const param::Origin file{Source::file, "f:1"};
  const auto settings = DriverParams()
                            .insert("qemu.pid", "9", file)
                            .insert("qemu.vm-name", "other", file)
                            .insert("memflow.kvm.pid", "9", file)
                            .insert("memflow.kvm.intrusive", "none", file)
                            .insert("xen.domid", "3", file)
                            .insert("kvm.unix-socket", "/a", file);
  auto by_pid = settings;
  by_pid.insert("pid", "7", {Source::command_line, "TARGET"});
  ASSERT_EQ(row(by_pid, "qemu.pid").dropped.size(), 1U);
  EXPECT_EQ(row(by_pid, "qemu.pid").dropped[0].reason, "pid=7 is set by command line TARGET");
  const auto read = by_pid.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(guest_choice(*read, DriverType::qemu),
            (GuestChoice{.vm_name = "other", .pid = Pid{7}}));
  EXPECT_EQ(guest_choice(*read, Connector::kvm).pid, Pid{7});
  EXPECT_FALSE(read->xen || read->kvm) << "their guests have no pid";

  auto by_name = settings;
  by_name.insert("vm_name", "this", {Source::environment, "E"});
  const auto named = by_name.read();
  ASSERT_TRUE(named);
  EXPECT_EQ(guest_choice(*named, DriverType::qemu), (GuestChoice{.vm_name = "this", .pid = Pid{9}}))
      << "a name beside a pid is verified";
  EXPECT_TRUE(named->xen && named->kvm);

  auto equal = settings;
  equal.insert("pid", "7", file);
  ASSERT_TRUE(equal.read());
  EXPECT_EQ(guest_choice(*equal.read(), DriverType::qemu).pid, Pid{9}) << "the own key wins";
}

TEST(GuestChoiceTest, OwnKeysComeBeforeTheCommonOnesEachForItself) {
  const DriverInitParams params{
      .common = CommonInitParams{.vm_name = "common", .pid = Pid{1}},
      .kvm = KvmInitParams{.transport = VSock{7}, .vm_name = "kvm"},
      .qemu = QemuInitParams{.pid = Pid{2}},
      .memflow = MemflowInitParams{.args = QemuProcfsParams{.vm_name = "procfs"}}};
  EXPECT_EQ(guest_choice(params, DriverType::qemu),
            (GuestChoice{.vm_name = "common", .pid = Pid{2}}));
  EXPECT_EQ(guest_choice(params, DriverType::xen), (GuestChoice{.vm_name = "common"}));
  EXPECT_EQ(guest_choice(params, DriverType::kvm), (GuestChoice{.vm_name = "kvm"}));
  EXPECT_EQ(guest_choice(params, Connector::qemu_procfs),
            (GuestChoice{.vm_name = "procfs", .pid = Pid{1}}));
  EXPECT_EQ(guest_choice(params, Connector::kvm),
            (GuestChoice{.vm_name = "common", .pid = Pid{1}}));
  EXPECT_EQ(guest_choice(params, Connector::coredump), GuestChoice{});
}

}  // namespace
}  // namespace microvmi
