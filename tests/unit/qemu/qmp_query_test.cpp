// SPDX-License-Identifier: Apache-2.0
// Answers of QEMU 7.2.22's query commands, and answers that no QEMU gives.
#include "qemu/query.hpp"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace microvmi::qemu {
namespace {

nlohmann::json json(const char* text) { return nlohmann::json::parse(text, nullptr, false); }

TEST(QueryTest, MemdevListsEveryBackend) {
  const auto rows = parse_memdev(json(
      R"([{"share": false, "reserve": true, "prealloc": false, "host-nodes": [],
           "size": 2147483648, "merge": true, "dump": true, "policy": "default", "id": "n1"},
          {"share": true, "size": 1048576, "id": "hostmem"}, {"size": 4096}])"));
  ASSERT_TRUE(rows) << to_text(rows.error());
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_EQ((*rows)[0].id, "n1");
  EXPECT_EQ((*rows)[0].size, 2147483648U);
  EXPECT_TRUE((*rows)[1].share);
  EXPECT_EQ((*rows)[2].id, "");
}

TEST(QueryTest, MemoryDevicesOfEachKind) {
  const auto rows = parse_memory_devices(json(
      R"([{"type": "dimm", "data": {"memdev": "/objects/d0", "hotplugged": false,
           "addr": 4294967296, "hotpluggable": true, "size": 1073741824, "slot": 0, "node": 0,
           "id": "dimm0"}},
          {"type": "virtio-mem", "data": {"memdev": "/objects/vm0", "memaddr": 8589934592,
           "block-size": 2097152, "size": 0, "node": 0, "max-size": 1073741824,
           "requested-size": 268435456, "id": "vmem0"}}])"));
  ASSERT_TRUE(rows) << to_text(rows.error());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].backend, "d0");
  EXPECT_EQ((*rows)[0].gpa, Gpa{0x100000000});
  EXPECT_EQ((*rows)[0].size, 1073741824U);
  EXPECT_EQ((*rows)[1].type, "virtio-mem");
  EXPECT_EQ((*rows)[1].gpa, Gpa{0x200000000});
}

TEST(QueryTest, Sizes) {
  const auto both =
      parse_memory_sizes(json(R"({"base-memory": 536870912, "plugged-memory": 1073741824})"));
  ASSERT_TRUE(both);
  EXPECT_EQ(both->base, 536870912U);
  EXPECT_EQ(both->plugged, 1073741824U);
  // riscv's virt says no more than this
  EXPECT_EQ(parse_memory_sizes(json(R"({"base-memory": 536870912})"))->plugged, 0U);
}

TEST(QueryTest, StatusNameUuidVersion) {
  const auto status =
      parse_status(json(R"({"status": "prelaunch", "singlestep": false, "running": false})"));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->name, "prelaunch");
  EXPECT_FALSE(status->running);
  EXPECT_EQ(*parse_name(json(R"({})")), std::nullopt);
  EXPECT_EQ(*parse_name(json(R"({"name": "a, b"})")), "a, b");
  EXPECT_EQ(*parse_uuid(json(R"({"UUID": "00000000-0000-0000-0000-000000000000"})")), std::nullopt);
  EXPECT_EQ(*parse_uuid(json(R"({"UUID": "5a7a3b1e-0000-0000-0000-000000000001"})")),
            "5a7a3b1e-0000-0000-0000-000000000001");
  const auto version = parse_version(
      json(R"({"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7"})"));
  ASSERT_TRUE(version);
  EXPECT_EQ(version->major, 7U);
  EXPECT_EQ(version->minor, 2U);
  EXPECT_EQ(version->micro, 22U);
  EXPECT_EQ(version->package, "Debian 1:7.2+dfsg-7");
}

TEST(QueryTest, Vcpus) {
  const auto rows = parse_cpus(
      json(R"([{"thread-id": 7830, "props": {"core-id": 0, "thread-id": 0, "socket-id": 0},
                "qom-path": "/machine/unattached/device[0]", "cpu-index": 0, "target": "x86_64"},
               {"thread-id": 7831, "cpu-index": 1, "target": "x86_64"}])"));
  ASSERT_TRUE(rows) << to_text(rows.error());
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[1].thread, 7831U);
  EXPECT_EQ((*rows)[1].index, 1U);
  EXPECT_EQ((*rows)[0].target, "x86_64");
}

TEST(QueryTest, Gpa2hva) {
  const auto found =
      parse_gpa2hva("Host virtual address for 0x1000 (pc.ram) is 0x7f20c3e01000\r\n", Gpa{0x1000});
  ASSERT_TRUE(found) << to_text(found.error());
  EXPECT_EQ(found->hva, 0x7F20C3E01000U);
  EXPECT_EQ(found->region, "pc.ram");
  EXPECT_EQ(parse_gpa2hva("Host virtual address for 0x0 (a) is (b)) is 0x1\r\n", Gpa{0})->region,
            "a) is (b)");
  for (const char* line : {"Memory at address 0xfee00000 is not RAM\r\n",
                           "No memory is mapped at address 0xfee00000\r\n"})
    EXPECT_EQ(parse_gpa2hva(line, Gpa{0xFEE00000}).error().code, Errc::hole) << line;
}

TEST(QueryTest, Gpa2hvaOfAnythingElseIsNoAddress) {
  for (const char* line :
       {"", "\r\n", "unknown command: 'gpa2hva'\r\n",
        "Host virtual address for 0x2000 (pc.ram) is 0x7f20c3e01000\r\n",  // not what was asked
        "Host virtual address for 0x1000 (pc.ram) is 0x7f20c3e01000 or so\r\n",
        "Host virtual address for 0x1000 (pc.ram) is 0x11112222333344445\r\n",
        "Host virtual address for 0x1000 (pc.ram) is (nil)\r\n",
        "Host virtual address for 0x1000 (pc.ram) is 0x0\r\n",
        "Host virtual address for 0x1000 (pc.ram\r\n",
        "Host virtual address for 1000 (pc.ram) is 0x7f20c3e01000\r\n"})
    EXPECT_EQ(parse_gpa2hva(line, Gpa{0x1000}).error().code, Errc::protocol) << line;
}

TEST(QueryTest, NoAnswerOfAWrongShapeIsBelieved) {
  for (const char* text : {"null",
                           "1",
                           "\"x\"",
                           "true",
                           "[1]",
                           "[null]",
                           "[[]]",
                           "[{}]",
                           R"({"status": 1})",
                           R"([{"size": -1, "id": "a"}])",
                           R"([{"size": 1.5, "id": "a"}])",
                           R"([{"size": "1", "id": "a"}])",
                           R"([{"type": "dimm"}])",
                           R"([{"type": "dimm", "data": {"size": -1}}])",
                           R"({"status": "running", "running": 1})",
                           R"({"name": 1})",
                           R"({"UUID": null})",
                           R"({"qemu": {"major": -7}})",
                           R"({"qemu": {"major": 4294967296, "minor": 0, "micro": 0}})",
                           R"([{"cpu-index": 4294967296, "thread-id": 1}])",
                           R"({"base-memory": -1})"}) {
    const auto answer = json(text);
    EXPECT_FALSE(parse_memdev(answer)) << text;
    EXPECT_FALSE(parse_memory_devices(answer)) << text;
    EXPECT_FALSE(parse_cpus(answer)) << text;
    EXPECT_FALSE(parse_memory_sizes(answer)) << text;
    EXPECT_FALSE(parse_status(answer)) << text;
    EXPECT_FALSE(parse_uuid(answer)) << text;
    EXPECT_FALSE(parse_version(answer)) << text;
  }
  EXPECT_FALSE(parse_name(json(R"({"name": 1})")));
  EXPECT_FALSE(parse_name(json("[]")));
}

}  // namespace
}  // namespace microvmi::qemu
