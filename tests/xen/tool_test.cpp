// SPDX-License-Identifier: Apache-2.0
// The command line on the guests of this dom0, its JSON against what xl and the guests say.
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include "microvmi/init.hpp"
#include "support/soon.hpp"
#include "xen/domain.hpp"

namespace microvmi::test::xen {
namespace {

using test::soon;

using nlohmann::json;
using namespace std::chrono_literals;

json tool(const std::string& arguments) {
  const Ran ran = shell("microvmi " + arguments + " 2>/tmp/tool.err", 240);
  json said = json::parse(ran.output, nullptr, false);
  EXPECT_TRUE(ran.status == 0 && !said.is_discarded())
      << arguments << '\n'
      << ran.output << shell("cat /tmp/tool.err").output;
  return said;
}

std::string uuid_of(const Domain& domain) {
  std::istringstream lines(shell("xl list -v " + std::to_string(domain.id())).output);
  std::string line, word;
  std::getline(lines, line);
  for (int i = 0; i < 7; ++i) lines >> word;  // Name ID Mem VCPUs State Time UUID
  return word;
}

std::string hex_of(std::uint64_t value) {
  std::ostringstream out;
  out << "0x" << std::hex << value;
  return out.str();
}

std::string hex_of(const std::vector<std::byte>& bytes) {
  std::string out;
  for (const std::byte one : bytes) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", std::to_integer<unsigned>(one));
    out += digits.data();
  }
  return out;
}

class XenToolTest : public testing::Test {
 protected:
  void use(const std::string& name) {
    auto found = Domain::find(name);
    ASSERT_TRUE(found) << found.error();
    domain_.emplace(*std::move(found));
    id_ = " --driver xen --xen-domid=" + std::to_string(domain_->id());
  }
  [[nodiscard]] Domain& domain() { return *domain_; }
  [[nodiscard]] const std::string& id() const { return id_; }

  // The tool in the background, killed and waited for at the end.
  class Running {
   public:
    explicit Running(const std::vector<std::string>& words) {
      pid_ = ::fork();
      if (pid_ != 0) return;
      std::vector<char*> raw;
      for (const auto& word : words) raw.push_back(const_cast<char*>(word.c_str()));
      raw.push_back(nullptr);
      ::execvp(raw[0], raw.data());
      ::_exit(127);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() { kill(); }
    void kill() {
      if (pid_ <= 0) return;
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }

   private:
    pid_t pid_ = -1;
  };

 private:
  std::optional<Domain> domain_;
  std::string id_;
};

TEST_F(XenToolTest, ScanListsWhatXlLists) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  json rows = tool("scan --json");
  ASSERT_TRUE(rows.is_array());
  bool found = false;
  for (const json& row : rows) {
    if (row["driver"] != "xen" || row["vm_name"] != kTiny) continue;
    found = true;
    EXPECT_EQ(row["vcpus"], 2);
    EXPECT_EQ(row["running"], true);
    EXPECT_EQ(row["facts"]["uuid"], uuid_of(domain()));
    EXPECT_EQ(row["facts"]["domid"], domain().id());
  }
  EXPECT_TRUE(found) << rows.dump(1);
  std::size_t listed = 0;
  std::istringstream lines(shell("xl list").output);
  for (std::string line; std::getline(lines, line);) ++listed;
  EXPECT_EQ(rows.size(), listed - 2) << "without the headline and dom0: " << rows.dump(1);
}

TEST_F(XenToolTest, InfoTellsWhatXlTells) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  json info = tool("info --json" + id());
  EXPECT_EQ(info["driver"], "xen");
  EXPECT_EQ(info["vm_name"], kTiny);
  EXPECT_EQ(info["vcpus"], 2);
  EXPECT_EQ(info["facts"]["uuid"], uuid_of(domain()));
  EXPECT_GE(info["end_of_memory"], domain().said("stamp_end"));
  const json& can = info["capabilities"];
  for (const char* needed : {"memory_write", "run_control", "registers", "events"})
    EXPECT_THAT(can.get<std::vector<std::string>>(), testing::Contains(needed));
}

TEST_F(XenToolTest, NameNumberAndUuidAllSelect) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  const std::string gpa = hex_of(domain().said("stamp_start") + 3);
  const std::string expected = hex_of(domain().stamps(domain().said("stamp_start") + 3, 32));
  for (const std::string& how : {std::string(" tiny"), " --xen-uuid " + uuid_of(domain())})
    EXPECT_EQ(tool("read --json " + gpa + " 32" + how)["hex"], expected) << how;
  EXPECT_NE(shell("microvmi read 0 8 --driver xen --vm-name nobody").status, 0);
  // The same keys from a program, which costs less than a tool for each.
  const auto vm_name = [](const DriverParams& params) {
    const auto opened = init(DriverType::xen, params);
    EXPECT_TRUE(opened) << to_text(opened.error());
    return opened ? opened->info().vm_name.value_or("") : "";
  };
  EXPECT_EQ(vm_name(DriverParams::with_default(kTiny)), kTiny);
  EXPECT_EQ(vm_name(DriverParams().insert("xen.vm-name", kTiny)), kTiny);
  EXPECT_EQ(vm_name(DriverParams().insert("xen.domid", std::to_string(domain().id()))), kTiny);
  EXPECT_EQ(vm_name(DriverParams().insert("xen.uuid", uuid_of(domain()))), kTiny);
  EXPECT_FALSE(init(DriverType::xen, DriverParams().insert("xen.domid", "32000")));
}

// Debian installs the libraries of several releases side by side; the newer one is the same here,
// by a name that is not that of the Xen that runs.
TEST_F(XenToolTest, OfSeveralReleasesTheOneThatRunsIsTaken) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  const std::filesystem::path folder = "/tmp/newer";
  std::filesystem::create_directories(folder);
  std::filesystem::create_symlink("/lib64/libxenctrl.so.4.17", folder / "libxenctrl.so.4.20");
  const std::string path = "LD_LIBRARY_PATH=" + folder.string() + ":$LD_LIBRARY_PATH";
  const Ran both = shell("env " + path + " microvmi info --json" + id());
  EXPECT_EQ(both.status, 0) << both.output;
  EXPECT_THAT(both.output, testing::HasSubstr("\"4.17\""));
  std::filesystem::remove_all(folder);
}

TEST_F(XenToolTest, ReadAndTranslateByVirtualAddress) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  const std::string gva = hex_of(domain().said("mapped_va") + 0x10);
  json where = tool("translate --json " + gva + id());
  EXPECT_EQ(where["gpa"], domain().said("mapped_pa") + 0x10);
  EXPECT_EQ(where["page_size"], 4096);
  EXPECT_EQ(tool("read --json --gva " + gva + " 64" + id())["hex"],
            hex_of(domain().stamps(domain().said("mapped_pa") + 0x10, 64)));
  EXPECT_NE(shell("microvmi translate " + hex_of(domain().said("unmapped_va")) + id()).status, 0);
}

TEST_F(XenToolTest, RegistersAreReadAndWritten) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  json before = tool("regs --json --vcpu 0" + id())[0]["registers"];
  EXPECT_EQ(before["r9"], domain().said("r9"));
  EXPECT_EQ(before["lstar"], domain().said("lstar"));
  tool("regs --json --vcpu 0 --set r9=0x1234567 " + id());
  EXPECT_EQ(tool("regs --json --vcpu 0" + id())[0]["registers"]["r9"], 0x1234567);
  EXPECT_THAT(shell("xenctx " + std::to_string(domain().id()) + " 0").output,
              testing::HasSubstr("r9: 0000000001234567"));
  tool("regs --json --vcpu 0 --set r9=" + hex_of(domain().said("r9")) + id());
}

TEST_F(XenToolTest, ADumpHoldsTheStamps) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  const std::string file = "/tmp/tiny.dump";
  json said = tool("dump --json --pause --output " + file + id());
  EXPECT_EQ(said["unreadable"], 0) << said.dump(1);
  const std::uint64_t start = domain().said("stamp_start");
  json back = tool("read --json " + hex_of(start) + " 65536 " + file);
  EXPECT_EQ(back["hex"], hex_of(domain().stamps(start, 65536)));
  EXPECT_TRUE(soon([this] { return !domain().paused(); }));
  std::filesystem::remove(file);
}

TEST_F(XenToolTest, PausedByAToolThatIsKilledTheGuestRunsAgain) {
  MICROVMI_NEEDS_DOMAIN(kTiny);
  ASSERT_NO_FATAL_FAILURE(use(kTiny));
  Running running({"microvmi", "pause", "--for", "600", "--driver", "xen",
                   "--xen-domid=" + std::to_string(domain().id())});
  ASSERT_TRUE(soon([this] { return domain().paused(); }));
  running.kill();
  EXPECT_TRUE(soon([this] { return !domain().paused(); }));
  EXPECT_TRUE(domain().counts_on());
}

TEST_F(XenToolTest, PauseAndResumeOfTheHvmGuest) {
  MICROVMI_NEEDS_DOMAIN(kHvm);
  ASSERT_NO_FATAL_FAILURE(use(kHvm));
  EXPECT_EQ(tool("pause --json" + id())["running"], false);
  EXPECT_TRUE(domain().paused());
  EXPECT_EQ(tool("resume --json" + id())["running"], true);
  EXPECT_FALSE(domain().paused());
}

}  // namespace
}  // namespace microvmi::test::xen
