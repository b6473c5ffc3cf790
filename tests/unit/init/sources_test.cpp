// SPDX-License-Identifier: Apache-2.0
// Parameters from a TOML file, the environment, options and URLs, and what is wrong with them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "microvmi/init_params.hpp"
#include "support/temp_folder.hpp"

namespace microvmi {
namespace {

using testing::HasSubstr;

DriverParams toml(std::string_view text) {
  auto params = DriverParams::from_toml(text, "t.toml");
  EXPECT_TRUE(params) << params.error().message;
  return params ? *params : DriverParams();
}

std::string problems_of(const DriverParams& params) {
  const auto read = params.read();
  return read ? "" : param::to_error(read.error()).message;
}

std::string syntax_error_of(std::string_view text) {
  const auto params = DriverParams::from_toml(text, "t.toml");
  return params ? "" : params.error().message;
}

TEST(Toml, TablesArraysIntegersFlagsAndTexts) {
  const auto read = toml(R"(
vm-name = "win 10"
[kvm]
unix-socket = "/tmp/introspector"
timeout = "5s"
[memflow.coredump]
filepath = "/a"
format = "raw"
map = ["0:2G:0", "4G:1G:2G"]
)")
                        .read();
  ASSERT_TRUE(read) << param::to_error(read.error()).message;
  EXPECT_EQ(*read,
            (DriverInitParams{
                .common = CommonInitParams{.vm_name = "win 10"},
                .kvm = KvmInitParams{.transport = UnixSocket{"/tmp/introspector"},
                                     .timeout = std::chrono::seconds(5)},
                .memflow = MemflowInitParams{
                    .args = CoredumpParams{
                        .filepath = "/a",
                        .format = DumpFormat::raw,
                        .map = {{Gpa{0}, 2ULL << 30, 0}, {Gpa{4ULL << 30}, 1ULL << 30, 2ULL << 30}},
                    }}}));
  const auto flags = toml("pid = 0x10\n[memflow.pcileech]\nauto-clear = true").read();
  ASSERT_TRUE(flags) << param::to_error(flags.error()).message;
  EXPECT_EQ(flags->common->pid, Pid{16});
  EXPECT_TRUE(std::get<PcileechParams>(*flags->memflow->args).auto_clear);
}

TEST(Toml, EachSettingKnowsItsLine) {
  const auto params = toml("\n[kvm]\nvsock-port = 7\n");
  ASSERT_EQ(params.settings().size(), 1U);
  EXPECT_EQ(params.settings()[0].origin.source, param::Source::file);
  EXPECT_EQ(params.settings()[0].origin.place, "t.toml:3");
}

TEST(Toml, WrongTypesAreToldTogetherWithEverythingElse) {
  EXPECT_EQ(problems_of(toml("vm-name = 5\npid = true\nkvm.timeout = 5\nkvm.secret = 1.5\n"
                             "memflow.connector = 1979-05-27\nkvm.unix-soket = \"/a\"\n"
                             "memflow.pcileech.auto-clear = 1\nqemu.qmp = [[1]]\n")),
            "vm-name expects a text in quotes, not a number (file t.toml:1)\n"
            "pid expects an integer, not true or false (file t.toml:2)\n"
            "kvm.secret expects a text in quotes, not a number with a fraction (file t.toml:4)\n"
            "memflow.connector expects a text in quotes, not a date or time (file t.toml:5)\n"
            "memflow.pcileech.auto-clear expects true or false, not a number (file t.toml:7)\n"
            "qemu.qmp expects a text in quotes, not an array (file t.toml:8)\n"
            "kvm.unix-soket is not a parameter; did you mean kvm.unix-socket? (file t.toml:6)\n"
            "one of kvm.unix-socket, kvm.vsock-port is required\n"
            "kvm.timeout expects a duration such as 500ms or 5s, not '5' (file t.toml:3)");
}

TEST(Toml, ABrokenRuleBetweenParametersIsWhereTheFirstOfThemStands) {
  EXPECT_EQ(problems_of(toml("pid = 1\n[memflow.coredump]\nfilepath = \"/a\"\nmap = \"0:4K:0\"\n")),
            "memflow.coredump has a map, which needs format=raw (file t.toml:3)");
}

TEST(Toml, UnknownAndNestedTablesAreNotIgnored) {
  EXPECT_THAT(problems_of(toml("[virtualbox]\nname = \"a\"")),
              HasSubstr("virtualbox.name is not a parameter"));
  EXPECT_THAT(problems_of(toml("[memflow.kvm.deeper]\npid = 5")),
              HasSubstr("memflow.kvm.deeper.pid is not a parameter"));
  EXPECT_THAT(problems_of(toml("[kvm.unix-socket]\npath = \"/a\"")),
              HasSubstr("kvm.unix-socket.path is not a parameter"));
  EXPECT_THAT(problems_of(toml("nonsense = []")), HasSubstr("nonsense expects a value"));
  EXPECT_THAT(problems_of(toml("[[memflow.coredump]]\nfilepath = \"/a\"")),
              HasSubstr("memflow.coredump expects a text in quotes, not a table"));
  EXPECT_THAT(problems_of(toml("pid = [1, 2]")), HasSubstr("pid is given twice"));
}

TEST(Toml, OneKeyInTwoSpellingsIsGivenTwice) {
  EXPECT_EQ(problems_of(toml("vm-name = \"a\"\nvm_name = \"b\"")),
            "vm-name is given twice (file t.toml:2)");
}

TEST(Toml, SyntaxErrorsNameTheirPlace) {
  EXPECT_THAT(syntax_error_of("vm-name = \"a\"\nvm-name = \"b\""), HasSubstr("t.toml:2:"));
  EXPECT_THAT(syntax_error_of("[kvm\n"), HasSubstr("t.toml:1:"));
  EXPECT_THAT(syntax_error_of("vm-name = \"\xff\xfe\""), HasSubstr("t.toml:1:"));
  EXPECT_THAT(syntax_error_of("a." + std::string(300, '.')), HasSubstr("more than 200 dots"));
  EXPECT_THAT(problems_of(toml("vm-name = \"a\\u0000b\"")), HasSubstr("without a zero byte"));
}

class FileTest : public testing::Test {
 protected:
  Error error_of(const std::filesystem::path& path) {
    const auto params = DriverParams::from_file(path);
    EXPECT_FALSE(params);
    return params ? Error{.code = Errc::none} : params.error();
  }
  std::filesystem::path write(const std::string& text) {
    const auto path = folder_.path() / "microvmi.toml";
    std::ofstream(path) << text;
    return path;
  }
  test::TempFolder folder_;
};

TEST_F(FileTest, IsRead) {
  const auto path = write("pid = 7\n");
  const auto params = DriverParams::from_file(path);
  ASSERT_TRUE(params) << params.error().message;
  EXPECT_EQ(params->read()->common->pid, Pid{7});
  EXPECT_EQ(params->settings()[0].origin.place, path.string() + ":1");
}

TEST_F(FileTest, ThatIsMissingIsNotFound) {
  const Error error = error_of(folder_.path() / "none");
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_THAT(error.message, HasSubstr("No such file"));
}

TEST_F(FileTest, ThatIsNoFileIsRefusedWithoutWaiting) {
  EXPECT_THAT(error_of(folder_.path()).message, HasSubstr("is a directory, not a file"));
  const auto fifo = folder_.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(error_of(fifo).message, HasSubstr("is a FIFO, not a file"));
  EXPECT_THAT(error_of("/dev/zero").message, HasSubstr("is a device, not a file"));
}

TEST_F(FileTest, ThatIsHugeIsRefused) {
  const auto path = write("");
  std::filesystem::resize_file(path, 1ULL << 40);  // sparse
  EXPECT_THAT(error_of(path).message, HasSubstr("is larger than 1048576 bytes"));
}

TEST_F(FileTest, ThatIsUnreadableNamesThePermission) {
  const auto path = write("pid = 7\n");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  const bool is_root = ::geteuid() == 0;
  // Root may read every file, so it asks as nobody.
  ASSERT_EQ(::seteuid(is_root ? 65534 : ::geteuid()), 0);
  const Error error = error_of(path);
  ASSERT_EQ(::seteuid(is_root ? 0 : ::geteuid()), 0);
  EXPECT_EQ(error.code, Errc::permission_denied);
  EXPECT_THAT(error.message, HasSubstr("Permission denied"));
}

TEST(Environment, EachVariableWithThePrefixIsAParameter) {
  ::setenv("MICROVMI_PARAM_KVM_UNIX_SOCKET", "/tmp/a=b", 1);
  ::setenv("MICROVMI_PARAM_KVM_TIMEOUT", "soon", 1);
  ::setenv("MICROVMI_PARAMETER", "is something else", 1);
  const auto params = DriverParams::from_environment();
  ::unsetenv("MICROVMI_PARAM_KVM_UNIX_SOCKET");
  ::unsetenv("MICROVMI_PARAM_KVM_TIMEOUT");
  ::unsetenv("MICROVMI_PARAMETER");
  ASSERT_EQ(params.settings().size(), 2U);
  EXPECT_EQ(problems_of(params),
            "kvm.timeout expects a duration such as 500ms or 5s, not 'soon' "
            "(environment MICROVMI_PARAM_KVM_TIMEOUT)");
  EXPECT_TRUE(DriverParams::from_environment().empty());
}

TEST(Options, KeepTheirSpellingInWhatIsTold) {
  DriverParams params;
  params.insert_option("--kvmi-unix-socket", "/a").insert_option("--kvm-tiemout", "5s");
  params.insert_option("--memflow-kvm-intrusive", "injct").insert_option("--memflow-pid", "7");
  EXPECT_EQ(problems_of(params),
            "kvm-tiemout is not a parameter; did you mean --kvm-timeout? "
            "(command line --kvm-tiemout)\n"
            "memflow.kvm.intrusive expects one of none, sync-regs, inject, not 'injct'; "
            "did you mean inject? (command line --memflow-kvm-intrusive)");
}

DriverParams url_params(std::string_view url) {
  const auto read = DriverParams::from_url(url);
  EXPECT_TRUE(read) << read.error().message;
  return read ? read->params : DriverParams();
}

std::string url_error(std::string_view url) {
  const auto read = DriverParams::from_url(url);
  return read ? "" : read.error().message;
}

TEST(Url, KeysAreWholeOrRelativeToTheDriver) {
  const auto url = DriverParams::from_url("vmi://KVM/?unix_socket=/tmp/a%20b&vm-name=win%2610");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->driver, DriverType::kvm);
  const auto read = url->params.read();
  ASSERT_TRUE(read) << param::to_error(read.error()).message;
  EXPECT_EQ(*std::get<UnixSocket>(*read->kvm->transport).path, "/tmp/a b");
  EXPECT_EQ(read->kvm->vm_name, "win&10");
  EXPECT_EQ(*url_params("vmi://memflow/?memflow.kvm.pid=7").read(),
            *url_params("vmi://memflow?kvm.pid=7").read());
}

TEST(Url, APidIsTheDriversOwnOrTheCommonOneButNotAConnectors) {
  EXPECT_EQ(url_params("vmi://qemu/?pid=7").read()->qemu->pid, Pid{7});
  EXPECT_EQ(url_params("vmi://memflow/?pid=7").read()->common->pid, Pid{7});
}

TEST(Url, TheDriverMayBeLeftOut) {
  const auto url = DriverParams::from_url("vmi:///?kvm.vsock-port=4242&pid=7");
  ASSERT_TRUE(url);
  EXPECT_FALSE(url->driver);
  EXPECT_EQ(url->params.settings()[0].origin.source, param::Source::url);
  EXPECT_TRUE(url->params.read());
  EXPECT_TRUE(DriverParams::from_url("vmi://")->params.empty());
}

TEST(Url, WhatIsNoSuchUrlIsRefusedWithTheReason) {
  EXPECT_THAT(url_error("http://kvm/"), HasSubstr("does not begin with vmi://"));
  EXPECT_THAT(url_error("vmi://virtualbox/"),
              HasSubstr("expects one of xen, kvm, qemu, memflow, not 'virtualbox'"));
  EXPECT_THAT(url_error("vmi://root@kvm/"), HasSubstr("user, password or port"));
  EXPECT_THAT(url_error("vmi://kvm:80/"), HasSubstr("user, password or port"));
  EXPECT_THAT(url_error("vmi:///tmp/dump.raw"), HasSubstr("has a path, '/tmp/dump.raw'"));
  EXPECT_THAT(url_error("vmi://kvm/?unix-socket=%zz"), HasSubstr("two hex digits"));
  EXPECT_THAT(url_error("vmi://kvm/?unix-socket=%4"), HasSubstr("two hex digits"));
  EXPECT_THAT(url_error("vmi://kvm/?=a"), HasSubstr("without a key"));
  EXPECT_THAT(url_error("vmi://kvm/?a=b#c"), HasSubstr("has a '#'"));
  EXPECT_THAT(problems_of(url_params("vmi://kvm/?unix-soket=/a&vsock-port=1")),
              HasSubstr("unix-soket is not a parameter"));
  EXPECT_THAT(problems_of(url_params("vmi:///?vm-name=a%00b")), HasSubstr("zero byte"));
}

TEST(Url, IsWrittenSoThatItIsReadAgain) {
  const std::vector<param::Setting> settings{{"vm-name", "a&b=c #\xc3\xa9%"},
                                             {"kvm.unix-socket", "/tmp/s+t"}};
  const std::string url = to_url(DriverType::kvm, settings);
  const auto back = DriverParams::from_url(url);
  ASSERT_TRUE(back) << url;
  EXPECT_EQ(back->driver, DriverType::kvm);
  EXPECT_EQ(back->params.settings()[0].value, settings[0].value);
  EXPECT_EQ(back->params.settings()[1].value, settings[1].value);
}

TEST(Sources, TheStrongestDecidesWhateverTheOrder) {
  DriverParams params = toml("vm-name = \"file\"\nkvm.vsock-port = 7\nkvm.timeout = \"1s\"");
  params.append(DriverParams({{"vm-name", "env", {param::Source::environment, "E"}}}));
  params.append(url_params("vmi:///?vm-name=url&kvm.unix-socket=/url"));
  params.insert_option("--vm-name", "line");
  auto read = params.read();
  ASSERT_TRUE(read) << param::to_error(read.error()).message;
  EXPECT_EQ(read->common->vm_name, "line");
  EXPECT_EQ(*std::get<UnixSocket>(*read->kvm->transport).path, "/url");
  EXPECT_EQ(read->kvm->timeout, std::chrono::seconds(1));
  params.insert("vm-name", "code");
  EXPECT_EQ(params.read()->common->vm_name, "code");
}

}  // namespace
}  // namespace microvmi
