// SPDX-License-Identifier: Apache-2.0
// What each file of contests registers.
#pragma once

namespace microvmi::bench {

void add_copy_contests();
void add_dump_races();
void add_image_contests();
void add_kdump_contests();
void add_scan_deadlines();
void add_translate_contests();
void add_vcpu_races();
void add_view_contests();
void add_write_contests();

}  // namespace microvmi::bench
