// SPDX-License-Identifier: Apache-2.0
// The guest's memory layout as QEMU itself tells it, checked against the process's mappings.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <span>

#include "host/linux/maps.hpp"
#include "host/linux/snapshot.hpp"
#include "qemu/command_line.hpp"
#include "qemu/mtree.hpp"
#include "qemu/qmp.hpp"
#include "qemu/query.hpp"

namespace microvmi::qemu {

// One command, over a connection of its own.
using AskMonitor = std::function<Expected<nlohmann::json>(const Command& command)>;

// `info mtree -f` for the ranges, query-memdev for which of them are guest RAM, gpa2hva for where
// each is. The command line tells which memory backends belong to a device (ivshmem). Errc::busy
// where it changes all the time.
[[nodiscard]] Expected<host::Layout> ask_layout(const AskMonitor& ask, const CommandLine& line);

// Errc::protocol where a segment is not all in readable mappings of the process without code.
[[nodiscard]] Expected<void> check_mapped(const host::Layout& layout,
                                          std::span<const host::Mapping> maps);

}  // namespace microvmi::qemu
