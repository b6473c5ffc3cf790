// SPDX-License-Identifier: Apache-2.0
// Levenshtein distance, with '-', '_' and '.' taken for one another.
#include "microvmi/param/nearest.hpp"

#include <algorithm>
#include <utility>

#include "microvmi/param/key.hpp"

namespace microvmi::param {
namespace {

constexpr std::size_t kLongest = 64;  // no key is longer, and the work grows with the square
constexpr std::size_t kTooFar = 4;    // letters that differ; more is another word

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (same_key(a.substr(i, 1), b.substr(j, 1)) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest_of(const std::vector<std::string_view>& known, std::string_view text) {
  std::string best;
  std::size_t best_distance = kTooFar;
  if (text.size() > kLongest) return best;
  for (const std::string_view one : known) {
    const std::size_t d = distance(one, text);
    if (d >= best_distance || d * 2 > one.size()) continue;
    best_distance = d;
    best = one;
  }
  return best;
}

}  // namespace microvmi::param
