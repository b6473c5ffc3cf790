// SPDX-License-Identifier: Apache-2.0
// What a monitor sends, as values of the kinds that the rest of the library asks for.
#include "qemu/json.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace microvmi::qemu {
namespace {

TEST(JsonTest, ValuesHaveTheKindsThatTheDocumentHas) {
  const auto all = parse_json(R"({"no": null, "yes": true, "text": "a\r\n\u00e9\u0000",
      "list": [{}, [], 1], "zero": 0, "minus": -1, "most": 18446744073709551615, "part": 1.5})");
  ASSERT_TRUE(all);
  EXPECT_TRUE((*all)["no"].is_null());
  EXPECT_EQ((*all)["yes"], true);
  EXPECT_EQ((*all)["text"], std::string("a\r\n\xC3\xA9\0", 6));
  EXPECT_EQ((*all)["list"].dump(), "[{},[],1]");
  EXPECT_TRUE((*all)["zero"].is_number_unsigned());
  EXPECT_FALSE((*all)["minus"].is_number_unsigned());
  EXPECT_EQ((*all)["minus"], -1);
  EXPECT_EQ((*all)["most"], std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ((*all)["part"], 1.5);
}

TEST(JsonTest, OfEqualKeysTheLastOneCounts) {
  EXPECT_EQ((*parse_json(R"({"a": 1, "b": 2, "a": 3})"))["a"], 3);
}

TEST(JsonTest, WhatIsNoJsonIsNothing) {
  for (const char* text : {"", "{", "{}}", "{} {}", "{\"a\": 18446744073709551616}", "\"\xFF\"",
                           "{\"a\" 1}", "[1,]", "nul", "\"\n\"", "'a'", "01", "+1", "\"\\x\""})
    EXPECT_FALSE(parse_json(text)) << text;
}

}  // namespace
}  // namespace microvmi::qemu
