// SPDX-License-Identifier: Apache-2.0
// memflow.connector-args: the Rust library's and memflow's own spelling of a connector's arguments.
#include "init/connector_args.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "init/memflow_text.hpp"

namespace microvmi {
namespace {

using testing::HasSubstr;

constexpr const char* kArgs = "memflow_connector_args";

std::string read_text(std::string_view text) {
  const auto args = read_memflow_args(text);
  if (!args) return "! " + args.error();
  std::string out;
  for (const MemflowArg& one : *args) out += '[' + one.name + '|' + one.value + ']';
  return out;
}

TEST(MemflowText, IsATargetThenPairs) {
  EXPECT_EQ(read_text("win10"), "[|win10]");
  EXPECT_EQ(read_text("win10:map_base=7f00,map_size=40000000"),
            "[target|win10][map_base|7f00][map_size|40000000]");
  EXPECT_EQ(read_text(":device=FPGA"), "[device|FPGA]");
  EXPECT_EQ(read_text("FPGA,remote=rpc"), "[|FPGA][remote|rpc]");
  EXPECT_EQ(read_text("device=FPGA,memmap=/tmp/map"), "[device|FPGA][memmap|/tmp/map]");
}

TEST(MemflowText, QuotesKeepSeparatorsInAValue) {
  EXPECT_EQ(read_text("'a:b,c=d':device=\"x,y\""), "[target|a:b,c=d][device|x,y]");
  EXPECT_EQ(read_text("`a`"), "[|a]");
  EXPECT_EQ(read_text("target=it's"), "[target|it's]") << "an apostrophe is no quote";
  EXPECT_EQ(read_text("vm's,a=b"), "[|vm's][a|b]");
}

TEST(MemflowText, AColonAfterAKeyIsPartOfTheValue) {
  EXPECT_EQ(read_text("device=rawudp://ip=1.2.3.4"), "[device|rawudp://ip=1.2.3.4]");
  EXPECT_EQ(read_text("filepath=C:/a"), "[filepath|C:/a]");
}

TEST(MemflowText, NothingIsDroppedSilently) {
  EXPECT_EQ(read_text("a=1,b"), "! has 'b' without '='; a value with a comma stands in quotes");
  EXPECT_EQ(read_text("a=1,=b"), "! has a value without a name, '=b'");
  EXPECT_EQ(read_text("vm:a=1:cache=true"),
            "! has arguments of memflow's cache, 'cache=true', which this library has no use for");
  EXPECT_EQ(read_text(""), "! expects arguments");
  EXPECT_EQ(read_text(":"), "! expects arguments");
}

std::expected<MemflowInitParams, std::string> memflow(const DriverParams& params) {
  const auto read = params.read();
  if (!read) return std::unexpected(param::to_error(read.error()).message);
  return read->memflow.value_or(MemflowInitParams{});
}

std::string error_of(const DriverParams& params) {
  const auto read = memflow(params);
  return read ? "" : read.error();
}

template <class T>
T args_of(const DriverParams& params) {
  const auto read = memflow(params);
  EXPECT_TRUE(read) << read.error();
  return std::get<T>(*read->args);
}

TEST(ConnectorArgs, BelongToTheConnectorThatIsNamed) {
  EXPECT_EQ(args_of<KvmConnectorParams>(
                DriverParams().insert("memflow_connector_name", "kvm").insert(kArgs, "pid=7")),
            (KvmConnectorParams{.pid = Pid{7}}));
  EXPECT_EQ(args_of<KvmConnectorParams>(
                DriverParams().insert("memflow.connector", "kvm").insert(kArgs, "7"))
                .pid,
            (param::Required<Pid>(Pid{7})));
  EXPECT_EQ(args_of<PcileechParams>(
                DriverParams().insert("memflow.connector", "pcileech").insert(kArgs, "usb3380")),
            (PcileechParams{.device = "usb3380"}));
  EXPECT_EQ(*args_of<CoredumpParams>(
                 DriverParams().insert("memflow.connector", "coredump").insert(kArgs, "/a.raw"))
                 .filepath,
            "/a.raw");
}

TEST(ConnectorArgs, ATargetOfQemuIsTakenAsAName) {
  const auto qemu = [](const char* text) {
    return args_of<QemuProcfsParams>(
        DriverParams().insert("memflow.connector", "qemu").insert(kArgs, text));
  };
  EXPECT_EQ(qemu("win10"), (QemuProcfsParams{.vm_name = "win10"}));
  EXPECT_EQ(qemu("1234"), (QemuProcfsParams{.vm_name = "1234"})) << "the connector tells which";
  EXPECT_EQ(qemu("name=win10"), (QemuProcfsParams{.vm_name = "win10"}));
}

TEST(ConnectorArgs, MapBaseAndSizeAreHexAsInMemflow) {
  const auto params = args_of<QemuProcfsParams>(
      DriverParams()
          .insert("memflow.connector", "qemu")
          .insert(kArgs, "win10:map_base=7f0000000000,map_size=40000000"));
  EXPECT_EQ(params.map_base, 0x7f0000000000U);
  EXPECT_EQ(params.map_size, param::ByteSize{0x40000000});
  EXPECT_THAT(error_of(DriverParams().insert("memflow.qemu-procfs.map-base", "4096")),
              HasSubstr("has a map-base without its map-size"));
}

TEST(ConnectorArgs, WithoutANameGoToTheOnlyConnectorThatKnowsThemAll) {
  EXPECT_EQ(args_of<PcileechParams>(
                DriverParams().insert(kArgs, "device=usb3380").insert(kArgs, "memap=/m")),
            (PcileechParams{.device = "usb3380", .memmap = "/m"}));
  EXPECT_EQ(*args_of<CoredumpParams>(DriverParams().insert(kArgs, "filepath=/a")).filepath, "/a");
  EXPECT_EQ(args_of<KvmConnectorParams>(DriverParams().insert(kArgs, "pid=7,intrusive=none")),
            (KvmConnectorParams{.pid = Pid{7}, .intrusive = Intrusive::none}));
}

TEST(ConnectorArgs, OfSeveralOrNoConnectorAreToldWithTheCandidates) {
  EXPECT_EQ(error_of(DriverParams().insert(kArgs, "pid=7")),
            "memflow.connector-args may belong to qemu-procfs or kvm; name one with "
            "memflow.connector");
  EXPECT_EQ(error_of(DriverParams().insert(kArgs, "device=a").insert(kArgs, "filepath=/a")),
            "memflow.connector-args belongs to no single connector: device of pcileech, "
            "filepath of coredump");
  EXPECT_EQ(error_of(DriverParams().insert(kArgs, "devce=a")),
            "memflow.connector-args has 'devce', which is an argument of no connector");
  EXPECT_EQ(
      error_of(DriverParams().insert("memflow.connector", "pcileech").insert(kArgs, "devce=a")),
      "memflow.pcileech.devce is not a parameter; did you mean memflow.pcileech.device?");
  EXPECT_THAT(
      error_of(DriverParams().insert("memflow.connector", "pcilech").insert(kArgs, "device=a")),
      HasSubstr("did you mean pcileech?"));
}

TEST(ConnectorArgs, FillTheSameParametersAsTheKeys) {
  EXPECT_EQ(args_of<CoredumpParams>(
                DriverParams().insert("memflow.coredump.format", "raw").insert(kArgs, "/a")),
            args_of<CoredumpParams>(DriverParams()
                                        .insert("memflow.coredump.format", "raw")
                                        .insert("memflow.coredump.filepath", "/a")));
}

const param::Origin kLine{param::Source::command_line, "--x"};
const param::Origin kFile{param::Source::file, "t.toml:1"};

TEST(ConnectorStrength, AStrongerNameDropsTheArgumentsOfOthers) {
  const auto read = memflow(DriverParams()
                                .insert("memflow.connector", "qemu-procfs", kLine)
                                .insert("memflow.coredump.filepath", "/a", kFile));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(*read, (MemflowInitParams{.connector = Connector::qemu_procfs}));
}

TEST(ConnectorStrength, StrongerArgumentsDropTheNameOfAnother) {
  const auto read = memflow(DriverParams()
                                .insert("memflow.connector", "kvm", kFile)
                                .insert("memflow.kvm.pid", "7", kFile)
                                .insert("memflow.coredump.filepath", "/a", kLine));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->selected(), Connector::coredump);
}

TEST(ConnectorStrength, OfOneStrengthTheyMustAgree) {
  EXPECT_EQ(error_of(DriverParams()
                         .insert("memflow.connector", "kvm")
                         .insert("memflow.coredump.filepath", "/a")),
            "memflow has connector kvm with the parameters of coredump");
  EXPECT_EQ(
      error_of(
          DriverParams().insert("memflow.kvm.pid", "7").insert("memflow.coredump.filepath", "/a")),
      "memflow.kvm.pid excludes memflow.coredump.filepath");
}

TEST(CommonPid, ServesTheKvmConnector) {
  const auto params = DriverParams().insert("pid", "7").insert("memflow.kvm.intrusive", "none");
  EXPECT_EQ(args_of<KvmConnectorParams>(params),
            (KvmConnectorParams{.pid = Pid{7}, .intrusive = Intrusive::none}));
  EXPECT_EQ(
      args_of<KvmConnectorParams>(DriverParams().insert("pid", "7").insert("memflow.kvm.pid", "8")),
      (KvmConnectorParams{.pid = Pid{8}}))
      << "the own key wins";
}

}  // namespace
}  // namespace microvmi
