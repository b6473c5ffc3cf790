// SPDX-License-Identifier: Apache-2.0
// A library that has nothing of LeechCore's.
extern "C" int not_leechcore() { return 0; }
