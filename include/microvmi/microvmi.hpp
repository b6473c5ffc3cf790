// SPDX-License-Identifier: Apache-2.0
// The whole C++ API.
#pragma once

#include "microvmi/address.hpp"
#include "microvmi/address_space.hpp"
#include "microvmi/driver.hpp"
#include "microvmi/dump.hpp"
#include "microvmi/error.hpp"
#include "microvmi/event.hpp"
#include "microvmi/init.hpp"
#include "microvmi/init_args.hpp"
#include "microvmi/init_params.hpp"
#include "microvmi/memory.hpp"
#include "microvmi/registers.hpp"
#include "microvmi/registry.hpp"
#include "microvmi/scan_json.hpp"
#include "microvmi/vm.hpp"
#include "microvmi/wait.hpp"
