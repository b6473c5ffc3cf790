// SPDX-License-Identifier: Apache-2.0
// Where JSON objects end, however they arrive, and what is no JSON at all.
#include "qemu/qmp_framer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace microvmi::qemu {
namespace {

using namespace std::string_literals;

TEST(FramerTest, ObjectsArriveByteByByteSeveralAtOnceAndOverLines) {
  const std::string text =
      "\r\n{\"a\": \"}{\\\"\\\\\", \"b\": [{}]}\r\n{\"c\":1}{\"d\":2}\n{\n  \"e\": [\n  1\n]\n}\n";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    Framer framer;
    std::vector<nlohmann::json> all;
    for (std::size_t at = 0; at < text.size(); at += step) {
      const auto some = framer.feed(std::string_view(text).substr(at, step));
      ASSERT_TRUE(some) << to_text(some.error());
      all.insert(all.end(), some->begin(), some->end());
    }
    ASSERT_EQ(all.size(), 4U) << step;
    EXPECT_EQ(all[0]["a"], "}{\"\\");
    EXPECT_EQ(all[2]["d"], 2);
    EXPECT_EQ(all[3]["e"][0], 1);
    EXPECT_FALSE(framer.midway());
  }
}

TEST(FramerTest, AHalfObjectIsNothingYet) {
  Framer framer;
  EXPECT_TRUE(framer.feed("{\"a\": ")->empty());
  EXPECT_TRUE(framer.midway());
}

class FramerNonsense : public testing::TestWithParam<std::string> {};

TEST_P(FramerNonsense, IsAProtocolError) {
  Framer framer;
  const auto objects = framer.feed(GetParam());
  ASSERT_FALSE(objects);
  EXPECT_EQ(objects.error().code, Errc::protocol);
}

INSTANTIATE_TEST_SUITE_P(Bytes, FramerNonsense,
                         testing::Values("hello\r\n"s, "[1]\n"s, "\"text\"\n"s, "1\n"s, "}"s, "\0"s,
                                         "{\"a\": \0}"s, "{\"a\": \"\0\"}"s, "{]"s, "{\"a\" 1}"s,
                                         "{\"a\": 01}"s, "{\"a\": \"\xFF\"}"s, "{\"a\": nan}"s,
                                         "{'a': 1}"s, "{\"a\": 1,}"s, "\x16\x03\x01"s));

TEST(FramerTest, DepthIsBoundedBeforeAnythingIsParsed) {
  Framer deep;
  EXPECT_EQ(deep.feed("{\"a\":" + std::string(kMaxNesting, '[')).error().code, Errc::protocol);
  Framer allowed;
  const std::string inner(kMaxNesting - 1, '[');
  EXPECT_TRUE(allowed.feed("{\"a\":" + inner + std::string(kMaxNesting - 1, ']') + "}"));
}

TEST(FramerTest, SizeAndNumberOfValuesAreBounded) {
  Framer large;
  ASSERT_TRUE(large.feed("{\"a\": \"" + std::string(kMaxMessage - 100, 'x')));
  EXPECT_EQ(large.feed(std::string(100, 'x')).error().code, Errc::protocol);
  Framer many;
  std::string list = "{\"a\": [";
  for (std::size_t i = 0; i <= kMaxValues; ++i) list += "0,";
  EXPECT_EQ(many.feed(list).error().code, Errc::protocol);
  // The bound is for one message, not for a connection.
  Framer stream;
  const std::string one = "{\"a\": \"" + std::string(kMaxMessage / 4, 'x') + "\"}\r\n";
  for (int i = 0; i != 8; ++i) ASSERT_TRUE(stream.feed(one)) << i;
}

TEST(FramerTest, AHumanMonitorIsRecognised) {
  Framer framer;
  const auto objects = framer.feed("QEMU 7.2.22 monitor - type 'help' for more information\r\n");
  ASSERT_FALSE(objects);
  EXPECT_NE(objects.error().hint.find("human monitor"), std::string::npos);
}

}  // namespace
}  // namespace microvmi::qemu
