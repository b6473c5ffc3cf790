// SPDX-License-Identifier: Apache-2.0
// Events and their replies as bytes, laid out by hand from kvmi.h.
#include <gmock/gmock.h>

#include <deque>
#include <utility>

#include "driver/kvm/codec.hpp"
#include "unit/driver/kvm/bytes.hpp"

namespace microvmi::kvm {
namespace {

using test::hex;
using test::put;
using test::operator+;
using enum Dialect;

Bytes common_v7(std::uint16_t vcpu, std::uint8_t event, std::size_t size = 544) {
  Bytes out(size);
  put(out, 0, 2, size);
  put(out, 2, 2, vcpu);
  if (size > 4) put(out, 4, 1, event);
  return out;
}

Bytes common_v12(std::uint16_t vcpu, std::uint16_t event) {
  Bytes out(8);
  put(out, 0, 2, event);
  Bytes block(544);
  put(block, 0, 2, 544);
  put(block, 2, 2, vcpu);
  return out + block;
}

// What is parsed points into the payload, so that none is ever dropped here.
Expected<EventMessage> parse(Dialect dialect, Bytes payload, std::uint16_t id = 1) {
  static std::deque<Bytes> kept;
  const Bytes& bytes = kept.emplace_back(std::move(payload));
  return parse_event(dialect,
                     {.id = id, .size = static_cast<std::uint16_t>(bytes.size()), .seq = 7}, bytes);
}

TEST(KvmiEvents, ACrEventOfV7) {
  const Bytes payload =
      common_v7(3, 1) + hex("0300 000000000000 1111000000000000 3333000000000000");
  const auto event = parse(v7, payload);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, EventKind::cr);
  EXPECT_EQ(event->vcpu, 3U);
  EXPECT_EQ(event->seq, 7U);
  EXPECT_EQ(event->regs.size(), 144U);
  EXPECT_EQ(event->sregs.size(), 312U);
  EXPECT_EQ(event->msrs.size(), 72U);
  const Shape& data = row(v7, EventKind::cr).data;
  EXPECT_EQ(field_of(data, event->data, Field::cr), 3U);
  EXPECT_EQ(field_of(data, event->data, Field::old_value), 0x1111U);
  EXPECT_EQ(field_of(data, event->data, Field::new_value), 0x3333U);
}

TEST(KvmiEvents, ThePartOfItsOwnBeginsWhereTheFirstWordSays) {
  const auto longer = parse(v7, common_v7(0, 11, 600) + hex("01 00000000000000"));
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->kind, EventKind::singlestep);
  EXPECT_EQ(field_of(row(v7, EventKind::singlestep).data, longer->data, Field::failed), 1U);
  const auto shorter = parse(v7, common_v7(0, 10, 8));
  ASSERT_TRUE(shorter);
  EXPECT_EQ(shorter->kind, EventKind::pause_vcpu);
  EXPECT_TRUE(shorter->regs.empty()) << "registers that were not told";
}

TEST(KvmiEvents, EventsOfV12HaveTheirNumberFirst) {
  const auto cr =
      parse(v12, common_v12(1, 7) + hex("04 00000000000000 1111000000000000 3333000000000000"));
  ASSERT_TRUE(cr);
  EXPECT_EQ(cr->kind, EventKind::cr);
  EXPECT_EQ(cr->vcpu, 1U);
  EXPECT_EQ(field_of(row(v12, EventKind::cr).data, cr->data, Field::cr), 4U);
  const auto unhook = parse(v12, hex("0000 000000000000"), 0);
  ASSERT_TRUE(unhook);
  EXPECT_EQ(unhook->kind, EventKind::unhook);
  EXPECT_FALSE(parse(v12, common_v12(1, 13 + 100)));
}

TEST(KvmiEvents, TrapOfV6HasAnotherLayout) {
  const Bytes data = hex("0e000000 01000000 02000000 00000000 0070000000000000");
  const auto trap = parse(v6, common_v7(0, 7) + data);
  ASSERT_TRUE(trap);
  const Shape& shape = row(v6, EventKind::trap).data;
  EXPECT_EQ(field_of(shape, trap->data, Field::vector), 14U);
  EXPECT_EQ(field_of(shape, trap->data, Field::error_code), 2U);
  EXPECT_EQ(field_of(shape, trap->data, Field::address), 0x7000U);
  EXPECT_FALSE(parse(v6, common_v7(0, 11) + Bytes(8))) << "v6 has no single steps";
}

TEST(KvmiEvents, WhatCannotBeRightIsRefused) {
  EXPECT_FALSE(parse(v7, {}));
  EXPECT_FALSE(parse(v7, common_v7(0, 10, 7))) << "a common part that is too short";
  EXPECT_FALSE(parse(v7, common_v7(0, 14))) << "an unknown event";
  EXPECT_FALSE(parse(v7, common_v7(0, 1) + Bytes(16))) << "no new value: the reply would write 0";
  EXPECT_FALSE(parse(v12, Bytes(8))) << "a vcpu's event without a vcpu";
  EXPECT_FALSE(parse(v12, Bytes(7), 0));
  Bytes beyond = common_v7(0, 10);
  put(beyond, 0, 2, 545);
  const auto refused = parse(v7, beyond);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::protocol);
}

TEST(KvmiEvents, RepliesThatLibkvmiWasSeenToSend) {
  Bytes out;
  const std::array new_value{Given{Field::new_value, 0x3333}};
  append_reply(out, v7, {.kind = EventKind::cr, .vcpu = 1, .seq = 3}, new_value);
  EXPECT_EQ(out, hex("0000 1800 03000000 | 0100000000000000 00 01 000000000000 3333000000000000"));
  out.clear();
  append_reply(out, v7,
               {.kind = EventKind::breakpoint, .vcpu = 1, .seq = 4, .action = Action::retry});
  EXPECT_EQ(out, hex("0000 1000 04000000 | 0100000000000000 01 04 000000000000"));
}

TEST(KvmiEvents, ThePageFaultReplyOfV7HasRoomForData) {
  Bytes out;
  append_reply(out, v7, {.kind = EventKind::page_fault, .vcpu = 0, .seq = 1});
  EXPECT_EQ(out, hex("0000 2001 01000000 | 0000000000000000 00 06 000000000000") + Bytes(272));
  out.clear();
  const std::array where{Given{Field::data_gva, 0x7fff0000}, Given{Field::data_size, 2}};
  append_reply(out, v7, {.kind = EventKind::page_fault, .vcpu = 0, .seq = 1}, where, hex("abcd"));
  EXPECT_EQ(out, hex("0000 2001 01000000 | 0000000000000000 00 06 000000000000"
                     "0000ff7f00000000 02000000 00000000 abcd") +
                     Bytes(254));
  out.clear();
  append_reply(out, v12, {.kind = EventKind::page_fault, .vcpu = 0, .seq = 1});
  EXPECT_EQ(out, hex("0100 1000 01000000 | 0000000000000000 00 11 000000000000"));
}

}  // namespace
}  // namespace microvmi::kvm
