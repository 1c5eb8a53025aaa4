// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/hash.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <set>
#include <string>

using coppice::hash_mix;
using coppice::hash_of;

TEST_CASE("hash: the compiler and the running program agree for every length") {
  constexpr std::string_view text = "the quick brown fox jumps over the lazy dog, twice";
  constexpr std::uint64_t early[] = {
      hash_of(text.substr(0, 0)),  hash_of(text.substr(0, 3)),  hash_of(text.substr(0, 7)),
      hash_of(text.substr(0, 8)),  hash_of(text.substr(0, 9)),  hash_of(text.substr(0, 16)),
      hash_of(text.substr(0, 17)), hash_of(text.substr(0, 33)), hash_of(text)};
  const std::size_t sizes[] = {0, 3, 7, 8, 9, 16, 17, 33, text.size()};
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    const std::string copy(text.substr(0, sizes[i]));
    CHECK(hash_of(copy) == early[i]);
  }
}

TEST_CASE("hash: its values are part of the message keys and do not change") {
  CHECK(hash_of("") == 0x96ebbe173ff72a30U);
  CHECK(hash_of("ch3") == 0x2ca7cc69d6fb4178U);
  CHECK(hash_of("the quick brown fox jumps over the lazy dog") == 0x8a06c7c30c4824ecU);
}

TEST_CASE("hash: numbered names do not collide, not even in their low bits") {
  std::set<std::uint64_t> all;
  int low_buckets[1024] = {};
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t hash = hash_of("session_" + std::to_string(i));
    all.insert(hash);
    ++low_buckets[hash & 1023];
  }
  CHECK(all.size() == 100'000);
  for (int count : low_buckets) {  // 98 on average; seven standard deviations
    CHECK(count > 28);
    CHECK(count < 168);
  }
}

TEST_CASE("hash: one changed bit changes about half of the bits") {
  const std::string text = "channel_allocator";
  for (std::size_t size : {1u, 5u, 8u, 12u, 17u}) {
    int changed = 0;
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      std::string other = text.substr(0, size);
      other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
      changed += std::popcount(hash_of(other) ^ hash_of(text.substr(0, size)));
    }
    const double average = changed / (8.0 * static_cast<double>(size));
    CHECK(average > 26);
    CHECK(average < 38);
  }
}

TEST_CASE("hash: zeros count, a seed changes everything, and the order of mixing matters") {
  CHECK(hash_of(std::string_view("\0", 1)) != hash_of(""));
  CHECK(hash_of(std::string_view("\0\0", 2)) != hash_of(std::string_view("\0", 1)));
  CHECK(hash_of("ch3", 1) != hash_of("ch3", 2));
  CHECK(hash_mix(1, 2) != hash_mix(2, 1));
  CHECK(hash_mix(0, 0) != 0);
}

TEST_CASE("hash: texts chosen against one seed do not collide under another") {
  // Eight bytes that make the first factor zero without a seed: whatever follows, the product is zero.
  char chosen[16] = {};
  for (int b = 0; b != 8; ++b) chosen[b] = static_cast<char>(coppice::detail::hash_key_2 >> (8 * b));
  const auto hash = [&](char last, std::uint64_t seed) {
    chosen[15] = last;
    return coppice::hash_of(std::string_view(chosen, 16), seed);
  };
  CHECK(hash('a', 0) == hash('b', 0));
  CHECK(hash('a', 0x1234567890abcdef) != hash('b', 0x1234567890abcdef));
}
