// SPDX-License-Identifier: Apache-2.0
// Command lines in every spelling that QEMU takes.
#include "qemu/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace microvmi::qemu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Words = std::vector<std::string>;

CommandLine parse(Words words) {
  words.insert(words.begin(), "qemu-system-x86_64");
  return parse_command_line(words);
}

struct NameCase {
  Words words;
  const char* name;
};

class NameTest : public ::testing::TestWithParam<NameCase> {};

TEST_P(NameTest, IsFound) { EXPECT_EQ(parse(GetParam().words).name, GetParam().name); }

INSTANTIATE_TEST_SUITE_P(
    Spellings, NameTest,
    ::testing::Values(
        NameCase{{"-name", "win10"}, "win10"}, NameCase{{"--name", "win10"}, "win10"},
        NameCase{{"-name", "guest=win10,debug-threads=on"}, "win10"},
        NameCase{{"-name", "debug-threads=on,guest=win10"}, "win10"},
        NameCase{{"-name", "win10,process=qemu-win"}, "win10"},
        NameCase{{"-name", "my windows 10"}, "my windows 10"}, NameCase{{"-name", "a,,b"}, "a,b"},
        NameCase{{"-name", "guest=a,,b,,,,c,debug-threads=on"}, "a,b,,c"},
        NameCase{{"-name", "a,,b=c"}, "a,b=c"}, NameCase{{"-name", "guest=x=y"}, "x=y"},
        NameCase{{"-name", "first", "-name", "guest=second"}, "second"},
        NameCase{{"-name", R"({"guest":"a,b \"c\"","debug-threads":true})"}, "a,b \"c\""},
        NameCase{{"-append", "-name inner", "-name", "outer"}, "outer"},
        NameCase{{"-append", "-name", "-name", "outer"}, "outer"},
        NameCase{{"disk.img", "-name", "n"}, "n"}, NameCase{{"-name", ""}, ""},
        NameCase{{"-S", "-name", "n"}, "n"}, NameCase{{}, ""}));

struct MemoryCase {
  Words words;
  std::optional<std::uint64_t> size;
};

class MemoryTest : public ::testing::TestWithParam<MemoryCase> {};

TEST_P(MemoryTest, IsCounted) {
  const CommandLine line = parse(GetParam().words);
  EXPECT_EQ(line.memory, GetParam().size);
  EXPECT_THAT(line.problems, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Spellings, MemoryTest,
    ::testing::Values(MemoryCase{{"-m", "512"}, 512 * kMiB}, MemoryCase{{"-m", "512M"}, 512 * kMiB},
                      MemoryCase{{"-m", "512m"}, 512 * kMiB}, MemoryCase{{"--m", "4G"}, 4 * kGiB},
                      MemoryCase{{"-m", "1.5G"}, 1536 * kMiB},
                      MemoryCase{{"-m", "0x200"}, 512 * kMiB}, MemoryCase{{"-m", "1048576k"}, kGiB},
                      MemoryCase{{"-m", "size=4G,slots=2,maxmem=8G"}, 4 * kGiB},
                      MemoryCase{{"-m", "4G,slots=2,maxmem=8G"}, 4 * kGiB},
                      MemoryCase{{"-m", "size=1024"}, kGiB},
                      MemoryCase{{"-m", "256", "-m", "slots=2,maxmem=2G"}, 256 * kMiB},
                      MemoryCase{{"-m", "5000000B"}, 5005312},  // QEMU 7.2: query-memdev
                      MemoryCase{{"-m", "1T"}, kTiB}, MemoryCase{{"-m", "0"}, std::nullopt},
                      MemoryCase{{"-nodefaults"}, std::nullopt}));

TEST(CommandLineTest, SlotsAndTheirLimit) {
  const CommandLine line = parse({"-m", "size=4G,slots=2,maxmem=8G"});
  EXPECT_EQ(line.slots, 2U);
  EXPECT_EQ(line.max_memory, 8 * kGiB);
}

TEST(CommandLineTest, NonsenseIsToldAndTheRestIsStillRead) {
  for (const char* bad : {"lots", "-5", "1X", "1.5.5G", "99999999999T", "0x", "1GG", ""}) {
    const CommandLine line = parse({"-m", std::string("size=") + bad, "-name", "n"});
    EXPECT_THAT(line.problems, ElementsAre(HasSubstr("-m"))) << bad;
    EXPECT_EQ(line.name, "n");
  }
  EXPECT_THAT(parse({"-name", "n", "-m"}).problems, ElementsAre("no value after -m"));
  EXPECT_THAT(parse({"-object", "{\"qom-type\":"}).problems, SizeIs(1));
  EXPECT_THAT(parse({"-object", "memory-backend-ram,id=a"}).problems, SizeIs(1));
  EXPECT_EQ(parse_command_line({}).name, "");
}

struct MachineCase {
  Words words;
  const char* type;
};

class MachineTest : public ::testing::TestWithParam<MachineCase> {};

TEST_P(MachineTest, IsFound) {
  EXPECT_EQ(parse(GetParam().words).machine.text("type"), GetParam().type);
}

INSTANTIATE_TEST_SUITE_P(
    Spellings, MachineTest,
    ::testing::Values(MachineCase{{"-M", "q35"}, "q35"}, MachineCase{{"-machine", "q35"}, "q35"},
                      MachineCase{{"--machine", "q35"}, "q35"}, MachineCase{{"--M", "q35"}, "q35"},
                      MachineCase{{"-machine", "type=q35"}, "q35"},
                      MachineCase{{"-machine", "accel=kvm,type=pc-q35-7.2"}, "pc-q35-7.2"},
                      MachineCase{{"-M", "microvm,x-option-roms=off"}, "microvm"},
                      MachineCase{{"-M", "q35", "-machine", "accel=tcg"}, "q35"},
                      MachineCase{{"-M", "pc", "-M", "q35"}, "q35"},
                      MachineCase{{"-machine", R"({"type":"virt","gic-version":"3"})"}, "virt"},
                      MachineCase{{"-machine", "usb=off"}, ""}, MachineCase{{}, ""}));

TEST(CommandLineTest, Accelerators) {
  EXPECT_THAT(parse({"-enable-kvm"}).accelerators, ElementsAre("kvm"));
  EXPECT_THAT(parse({"-accel", "kvm,kernel-irqchip=split", "-accel", "tcg"}).accelerators,
              ElementsAre("kvm", "tcg"));
  EXPECT_THAT(parse({"-M", "q35,accel=kvm:tcg"}).accelerators, ElementsAre("kvm", "tcg"));
  EXPECT_THAT(parse({"-M", "q35"}).accelerators, IsEmpty());
}

TEST(CommandLineTest, Backends) {
  const CommandLine line = parse({
      "-object",
      "memory-backend-ram,id=r,size=1G",
      "-object",
      "memory-backend-memfd,id=m,size=2G",
      "-object",
      "memory-backend-memfd,id=p,size=2G,share=off",
      "-object",
      "memory-backend-file,id=f,size=512M,share=on,mem-path=/dev/shm/a,,b",
      "-object",
      "memory-backend-file,id=g,size=1M,mem-path=/dev/hugepages,share",
      "-object",
      R"({"qom-type":"memory-backend-ram","id":"pc.ram","size":1073741824})",
      "-object",
      "rng-random,id=rng0,filename=/dev/urandom",
  });
  ASSERT_THAT(line.backends, SizeIs(6));
  EXPECT_EQ(line.backend("r")->kind, RamBackend::Kind::ram);
  EXPECT_FALSE(line.backend("r")->shared);
  EXPECT_EQ(line.backend("m")->size, 2 * kGiB);
  EXPECT_TRUE(line.backend("m")->shared) << "memfd is shared unless told otherwise";
  EXPECT_FALSE(line.backend("p")->shared);
  EXPECT_EQ(line.backend("f")->path, "/dev/shm/a,b");
  EXPECT_TRUE(line.backend("f")->shared);
  EXPECT_TRUE(line.backend("g")->shared);
  EXPECT_EQ(line.backend("pc.ram")->size, kGiB);
  EXPECT_EQ(line.backend("rng0"), nullptr);
}

TEST(CommandLineTest, NumaNodesInTheOrderOfTheirNumbers) {
  const CommandLine line =
      parse({"-numa", "node,nodeid=1,memdev=b", "-numa", "node,nodeid=0,memdev=a", "-numa",
             "dist,src=0,dst=1,val=20", "-numa", R"({"type":"node","memdev":"c","cpus":[1,2]})"});
  EXPECT_THAT(line.numa_memdevs, ElementsAre("a", "b", "c"));
}

TEST(CommandLineTest, Monitors) {
  using Kind = MonitorAddress::Kind;
  const CommandLine line = parse({
      "-qmp",        "unix:/run/a,,b.sock,server,nowait",
      "-qmp-pretty", "unix:rel.sock,server=on,wait=off",
      "-mon",        "chardev=mon1,mode=control,pretty=on",
      "-chardev",    "socket,id=mon1,fd=31,server=on,wait=off",
      "-chardev",    "socket,id=mon2,path=/run/m2,server=on",
      "-mon",        "chardev=mon2,mode=readline",
      "-chardev",    "socket,id=mon3,path=vm,abstract=on,server=on",
      "-mon",        R"({"chardev":"mon3","mode":"control"})",
      "-qmp",        "tcp:127.0.0.1:4444,server=on,wait=off",
      "-qmp",        "stdio",
      "-qmp",        "unix:/run/client",
      "-monitor",    "unix:/run/hmp,server",
  });
  ASSERT_THAT(line.qmp, SizeIs(7));
  EXPECT_EQ(line.qmp[0].text, "/run/a,b.sock");
  EXPECT_TRUE(line.qmp[0].listens);
  EXPECT_EQ(line.qmp[1].text, "rel.sock");
  EXPECT_TRUE(line.qmp[1].listens);
  EXPECT_EQ(line.qmp[2].kind, Kind::tcp);
  EXPECT_EQ(line.qmp[2].text, "127.0.0.1");
  EXPECT_EQ(line.qmp[2].port, 4444);
  EXPECT_EQ(line.qmp[3].kind, Kind::other);
  EXPECT_FALSE(line.qmp[4].listens) << "QEMU is the client there";
  EXPECT_EQ(line.qmp[5].kind, Kind::inherited_fd);
  EXPECT_EQ(line.qmp[5].fd, 31);
  EXPECT_EQ(line.qmp[6].kind, Kind::unix_abstract);
}

TEST(CommandLineTest, TheWholeOfALibvirtCommandLine) {
  const CommandLine line = parse({
      "-name",
      "guest=debian12,debug-threads=on",
      "-S",
      "-object",
      R"({"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/k.aes"})",
      "-machine",
      "pc-q35-7.2,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram",
      "-accel",
      "kvm",
      "-cpu",
      "host,migratable=on",
      "-m",
      "2048",
      "-object",
      R"({"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648})",
      "-overcommit",
      "mem-lock=off",
      "-smp",
      "2,sockets=2,cores=1,threads=1",
      "-uuid",
      "d6b3d7d5-6f3d-4f0a-9d7a-0b7f2b1f6f11",
      "-no-user-config",
      "-nodefaults",
      "-chardev",
      "socket,id=charmonitor,fd=32,server=on,wait=off",
      "-mon",
      "chardev=charmonitor,id=monitor,mode=control",
      "-rtc",
      "base=utc,driftfix=slew",
      "-no-hpet",
      "-no-shutdown",
      "-boot",
      "strict=on",
      "-device",
      R"({"driver":"virtio-vga","id":"video0","max_outputs":1,"bus":"pcie.0"})",
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny",
      "-msg",
      "timestamp=on",
  });
  EXPECT_THAT(line.problems, IsEmpty());
  EXPECT_EQ(line.name, "debian12");
  EXPECT_EQ(line.machine.text("type"), "pc-q35-7.2");
  EXPECT_EQ(line.machine.text("memory-backend"), "pc.ram");
  EXPECT_EQ(line.memory, 2 * kGiB);
  EXPECT_EQ(line.vcpus, 2U);
  EXPECT_EQ(line.cpu.text("model"), "host");
  EXPECT_EQ(line.uuid, "d6b3d7d5-6f3d-4f0a-9d7a-0b7f2b1f6f11");
  ASSERT_THAT(line.qmp, SizeIs(1));
  EXPECT_EQ(line.qmp[0].fd, 32);
  ASSERT_THAT(line.devices, SizeIs(1));
  EXPECT_EQ(line.devices[0].driver, "virtio-vga");
  EXPECT_TRUE(line.no_defaults);
  EXPECT_TRUE(line.starts_stopped);
}

TEST(CommandLineTest, NumberOfVcpus) {
  EXPECT_EQ(parse({"-smp", "4"}).vcpus, 4U);
  EXPECT_EQ(parse({"-smp", "cpus=2,maxcpus=8"}).vcpus, 2U);
  EXPECT_EQ(parse({"-smp", "sockets=2,cores=3,threads=2"}).vcpus, 12U);
  EXPECT_EQ(parse({"-smp", "maxcpus=8"}).vcpus, 8U);
  EXPECT_EQ(parse({}).vcpus, 1U);
}

TEST(CommandLineTest, EncryptedGuestsAreNamed) {
  EXPECT_THAT(parse({"-object", "sev-guest,id=sev0,cbitpos=47"}).encryption,
              ElementsAre("sev-guest"));
  EXPECT_THAT(parse({"-object", R"({"qom-type":"tdx-guest","id":"t"})"}).encryption,
              ElementsAre("tdx-guest"));
  EXPECT_THAT(parse({"-M", "q35,confidential-guest-support=x"}).encryption,
              ElementsAre("confidential-guest-support=x"));
  EXPECT_THAT(parse({"-M", "q35"}).encryption, IsEmpty());
}

TEST(CommandLineTest, WhatIsToldElsewhereIsSaid) {
  EXPECT_THAT(parse({"-readconfig", "vm.cfg", "-set", "machine..memory=1G"}).elsewhere,
              ElementsAre("-readconfig vm.cfg", "-set machine..memory=1G"));
  EXPECT_THAT(parse({"-set", "drive.d0.cache=none"}).elsewhere, IsEmpty());
}

}  // namespace
}  // namespace microvmi::qemu
