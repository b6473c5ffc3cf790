// SPDX-License-Identifier: Apache-2.0
// What a library prints: in lines, within bounds, harmless to a terminal.
#include "connector/pcileech/output.hpp"

#include <gmock/gmock.h>

namespace microvmi::pcileech_connector {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(PcileechOutput, LinesAndTheBegunOne) {
  Output output;
  output.add("one\ntw");
  EXPECT_THAT(output.take(false), ElementsAre("one"));
  output.add("o\n\nQuestion? ");
  EXPECT_THAT(output.take(false), ElementsAre("two"));
  EXPECT_THAT(output.take(true), ElementsAre("Question?"));
  EXPECT_THAT(output.take(true), IsEmpty());
}

TEST(PcileechOutput, NothingATerminalWouldObey) {
  Output output;
  output.add("\x1b[31mred\x7f\xff end\r\n");
  EXPECT_THAT(output.take(false), ElementsAre("?[31mred?? end"));
}

TEST(PcileechOutput, AFloodKeepsItsEnd) {
  Output output;
  for (int i = 0; i < 100'000; ++i) output.add("line " + std::to_string(i) + "\n");
  const auto lines = output.take(true);
  ASSERT_THAT(lines, SizeIs(testing::Lt(8000U)));
  EXPECT_THAT(lines.front(), testing::MatchesRegex(R"(\([0-9]+ bytes before this are left out\))"));
  EXPECT_EQ(lines.back(), "line 99999");
}

TEST(PcileechOutput, AnErrorHasTheLastLines) {
  EXPECT_EQ(in_one_line({}), "");
  EXPECT_EQ(in_one_line({"a", "b"}), "a; b");
  EXPECT_EQ(in_one_line({std::string(500, 'x'), std::string(500, 'y')}), std::string(500, 'y'));
  EXPECT_THAT(in_one_line({std::string(5000, 'x')}), SizeIs(600U));
}

}  // namespace
}  // namespace microvmi::pcileech_connector
