// SPDX-License-Identifier: Apache-2.0
// Commands as bytes. The bytes of v7 are those that libkvmi was seen to send; those of v12 and v6
// are laid out by hand from kvmi.h.
#include "driver/kvm/codec.hpp"

#include <gmock/gmock.h>

#include <cerrno>

#include "driver/kvm/handshake.hpp"
#include "unit/driver/kvm/bytes.hpp"

namespace microvmi::kvm {
namespace {

using test::hex;
using test::operator+;
using enum Dialect;

Bytes message(Dialect dialect, Command command, std::uint32_t seq,
              std::initializer_list<Given> values, ByteSpan tail = {}) {
  Bytes out;
  append(out, dialect, command, seq, std::span(values.begin(), values.size()), tail);
  return out;
}

TEST(KvmiCodec, TheBytesThatLibkvmiWasSeenToSend) {
  EXPECT_EQ(message(v7, Command::get_version, 1, {}), hex("0200 0000 01000000"));
  EXPECT_EQ(message(v7, Command::read_physical, 9, {{Field::gpa, 0x3000}, {Field::size, 4096}}),
            hex("1100 1000 09000000 | 0030000000000000 0010000000000000"));
  EXPECT_EQ(message(v7, Command::pause_vcpu, 2, {{Field::vcpu, 1}, {Field::wait, 1}}),
            hex("0700 1000 02000000 | 0100000000000000 0100000000000000"));
  EXPECT_EQ(
      message(v7, Command::control_cr, 3, {{Field::vcpu, 0}, {Field::cr, 3}, {Field::enable, 1}}),
      hex("0a00 1000 03000000 | 0000000000000000 01000000 03000000"));
  const Bytes pages = hex("0050000000000000 0500000000000000 | 0060000000000000 0700000000000000");
  EXPECT_EQ(message(v7, Command::set_page_access, 4, {{Field::view, 1}, {Field::count, 2}}, pages),
            hex("1500 2800 04000000 | 0100 0200 00000000") + pages);
}

TEST(KvmiCodec, EveryCommandOfV7HasTheNumberAndSizeOfItsHeader) {
  const std::vector<std::pair<Command, Bytes>> all{{Command::check_command, hex("0300 0800")},
                                                   {Command::get_info, hex("0500 0000")},
                                                   {Command::vcpu_info, hex("0600 0800")},
                                                   {Command::vm_control_events, hex("0800 0800")},
                                                   {Command::control_events, hex("0900 1000")},
                                                   {Command::control_msr, hex("0b00 1000")},
                                                   {Command::get_registers, hex("0d00 1000")},
                                                   {Command::set_registers, hex("0e00 0800")},
                                                   {Command::get_cpuid, hex("0f00 1000")},
                                                   {Command::write_physical, hex("1200 1000")},
                                                   {Command::inject_exception, hex("1300 1800")},
                                                   {Command::get_max_gfn, hex("1d00 0000")},
                                                   {Command::set_view, hex("2000 1000")},
                                                   {Command::get_view, hex("2200 0800")},
                                                   {Command::translate_gva, hex("2300 1000")},
                                                   {Command::create_view, hex("2b00 0000")},
                                                   {Command::destroy_view, hex("2c00 0800")},
                                                   {Command::control_singlestep, hex("3f00 1000")}};
  for (const auto& [command, head] : all) {
    const Bytes bytes = message(v7, command, 0, {});
    EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 4), head) << name_of(command);
    EXPECT_EQ(bytes.size(), 8 + std::to_integer<std::size_t>(head[2])) << name_of(command);
  }
}

TEST(KvmiCodec, V12MovedNumbersAndFields) {
  EXPECT_EQ(message(v12, Command::pause_vcpu, 1, {{Field::vcpu, 2}, {Field::wait, 1}}),
            hex("1000 0800 01000000 | 0200 01 0000000000"));
  EXPECT_EQ(
      message(v12, Command::control_cr, 1, {{Field::vcpu, 1}, {Field::cr, 4}, {Field::enable, 1}}),
      hex("0d00 1000 01000000 | 0100000000000000 04 01 000000000000"));
  EXPECT_EQ(message(v12, Command::read_physical, 1, {{Field::gpa, 0x3000}, {Field::size, 4096}}),
            hex("0c00 1000 01000000 | 0030000000000000 0010 000000000000"));
  EXPECT_EQ(message(v12, Command::set_page_access, 1, {{Field::view, 0}, {Field::count, 1}},
                    hex("0050000000000000 0500000000000000")),
            hex("1400 1800 01000000 | 0100 000000000000 | 0050000000000000 0500000000000000"));
  EXPECT_EQ(message(v12, Command::control_singlestep, 1, {{Field::vcpu, 0}, {Field::enable, 1}}),
            hex("1b00 1000 01000000 | 0000000000000000 01 00000000000000"));
  EXPECT_FALSE(row(v12, Command::get_max_gfn).known);
  EXPECT_FALSE(row(v12, Command::create_view).known);
}

TEST(KvmiCodec, V6SaysWhetherAnExceptionHasAnErrorCode) {
  EXPECT_EQ(message(v6, Command::inject_exception, 1,
                    {{Field::vcpu, 0},
                     {Field::vector, 14},
                     {Field::has_error, 1},
                     {Field::error_code, 2},
                     {Field::address, 0x7000}}),
            hex("1300 1800 01000000 | 0000000000000000 0e 01 0000 02000000 0070000000000000"));
  EXPECT_EQ(message(v7, Command::inject_exception, 1, {{Field::vector, 14}, {Field::has_error, 1}}),
            hex("1300 1800 01000000 | 0000000000000000 0e 00 0000 00000000 0000000000000000"));
  EXPECT_FALSE(row(v6, Command::control_singlestep).known);
  EXPECT_TRUE(row(v6, Command::get_page_access).known);
}

TEST(KvmiCodec, AnswersAreReadAndWhatIsMissingIsZero) {
  const Bytes answer = hex("01000000 00000000 | 00 01 01 00 01 000000");
  const Shape& shape = row(v7, Command::get_version).answer;
  EXPECT_EQ(field_of(shape, answer, Field::version), 1U);
  EXPECT_EQ(field_of(shape, answer, Field::eptp), 1U);
  EXPECT_EQ(field_of(shape, answer, Field::singlestep), 1U);
  EXPECT_EQ(field_of(shape, std::span(answer).first(8), Field::singlestep), 0U);
  EXPECT_EQ(field_of(shape, {}, Field::version), 0U);
  EXPECT_EQ(parse_version(answer).most_payload, 0U);
  EXPECT_EQ(parse_version(hex("01000000 f81f0000 01 00000000000000")).most_payload, 8184U);
  EXPECT_EQ(parse_version(hex("01000000 00000000")).most_payload, std::nullopt);
}

TEST(KvmiCodec, ErrorNumbersOfTheKernel) {
  EXPECT_EQ(error_of(-EPERM, "x").code, Errc::permission_denied);
  EXPECT_EQ(error_of(-ENOENT, "x").code, Errc::not_found);
  EXPECT_EQ(error_of(-EAGAIN, "x").code, Errc::busy);
  EXPECT_EQ(error_of(-EOPNOTSUPP, "x").code, Errc::not_supported);
  EXPECT_EQ(error_of(-1000, "x").code, Errc::not_supported);
  EXPECT_EQ(error_of(-EINVAL, "KVMi get_info").message, "KVMi get_info: Invalid argument");
  for (const std::int32_t nonsense : {1, 1000, -999, INT32_MIN, INT32_MAX})
    EXPECT_EQ(error_of(nonsense, "x").code, Errc::protocol) << nonsense;
}

// FIPS 180-1 appendix A and B, and the hash of nothing.
TEST(KvmiHandshake, Sha1OfTheStandardsExamples) {
  const auto of = [](std::string_view text) {
    const Sha1 hash = sha1(std::as_bytes(std::span(text)));
    return Bytes(hash.begin(), hash.end());
  };
  EXPECT_EQ(of("abc"), hex("a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d"));
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            hex("84983e44 1c3bd26e baae4aa1 f95129e5 e54670f1"));
  EXPECT_EQ(of(""), hex("da39a3ee 5e6b4b0d 3255bfef 95601890 afd80709"));
  EXPECT_EQ(of(std::string(1'000'000, 'a')), hex("34aa973c d4c4daa4 f61eeb2b dbad2731 6534016f"));
}

Bytes greeting(std::size_t size) {
  Bytes out(size);
  test::put(out, 0, 4, size);
  for (std::size_t i = 0; i < 16; ++i) test::put(out, 4 + i, 1, 0x11 * i);
  test::put(out, 24, 8, 0x5e0be100);
  return out;
}

Expected<Greeting> read_greeting(ByteSpan bytes, std::size_t step) {
  GreetingReader reader;
  while (reader.wanted() != 0) {
    const std::size_t size = std::min({step, reader.wanted(), bytes.size()});
    if (size == 0) return fail(Errc::disconnected, "too short");
    if (auto done = reader.take(bytes.first(size)); !done) return std::unexpected(done.error());
    bytes = bytes.subspan(size);
  }
  EXPECT_TRUE(bytes.empty()) << "it left some";
  return reader.result();
}

TEST(KvmiHandshake, TheGreetingOfV7InPiecesOfAnySize) {
  Bytes bytes = greeting(96);
  std::ranges::copy(hex("77696e3130"), bytes.begin() + 32);
  for (const std::size_t step : {1UL, 3UL, 7UL, 4096UL}) {
    const auto read = read_greeting(bytes, step);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->name, "win10");
    EXPECT_EQ(uuid_text(*read), "00112233-4455-6677-8899-aabbccddeeff");
    EXPECT_EQ(read->start_time, 0x5e0be100);
    EXPECT_EQ(read->max_gpa, 0U);
  }
}

TEST(KvmiHandshake, SizesThatAreInUseAndSizesThatAreNot) {
  EXPECT_EQ(read_greeting(greeting(32), 4)->name, "");
  Bytes v12_greeting = greeting(104);
  test::put(v12_greeting, 96, 8, 0x140000000);
  EXPECT_EQ(read_greeting(v12_greeting, 50)->max_gpa, 0x140000000U);
  EXPECT_EQ(read_greeting(greeting(104 + 48), 50)->max_gpa, 0U) << "memory ranges of QEMU 2.11";
  EXPECT_TRUE(read_greeting(greeting(65536), 4096));
  for (const std::size_t size : {31U, 65537U, 0U, 3U}) {
    Bytes bytes = greeting(std::max<std::size_t>(size, 4));
    test::put(bytes, 0, 4, size);
    const auto read = read_greeting(bytes, 4);
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().code, Errc::protocol);
  }
}

TEST(KvmiHandshake, ANameWithoutItsEndIsCutAtItsField) {
  Bytes bytes = greeting(96);
  std::fill(bytes.begin() + 32, bytes.end(), std::byte{'x'});
  EXPECT_EQ(read_greeting(bytes, 96)->name, std::string(64, 'x'));
}

TEST(KvmiHandshake, TheAnswerIsTheHashOfTheSecretOrZeros) {
  EXPECT_EQ(greeting_answer(std::nullopt), hex("18000000") + Bytes(20));
  const std::string secret = "abc";
  EXPECT_EQ(greeting_answer(sha1(std::as_bytes(std::span(secret)))),
            hex("18000000 a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d"));
}

}  // namespace
}  // namespace microvmi::kvm
