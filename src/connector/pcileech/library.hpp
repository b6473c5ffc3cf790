// SPDX-License-Identifier: Apache-2.0
// Where leechcore.so is.
#pragma once

#include <filesystem>
#include <optional>

#include "microvmi/error.hpp"

namespace microvmi::pcileech_connector {

// The one that is named, else the first there is. Where there is none the error tells every place
// that was looked at. It is not loaded.
[[nodiscard]] Expected<std::filesystem::path> find_library(
    const std::optional<std::filesystem::path>& named);

}  // namespace microvmi::pcileech_connector
