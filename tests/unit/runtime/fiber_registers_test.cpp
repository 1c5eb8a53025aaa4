// SPDX-License-Identifier: Apache-2.0
//
// What the compiler keeps in registers survives a switch: the switch must declare every register of the target as
// destroyed. Worth its name only when compiled with -O2 and -march=native as well.
#include "runtime/fiber.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

using namespace coppice::internal;

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
constexpr int vectors = 28;
#define VECTOR_REGISTER "+v"
#else
constexpr int vector_bytes = 16;
constexpr int vectors = 14;
#define VECTOR_REGISTER "+x"
#endif
typedef std::uint64_t wide __attribute__((vector_size(vector_bytes)));

// Two jobs that each keep all registers busy over their switches, with different values.
struct player {
  fiber* f = nullptr;
  std::uint64_t seed = 0;
  std::uint64_t wrong = 0;
};

// Values that depend on the seed and cannot be computed again cheaply: the compiler has to keep them.
template <class T>
[[gnu::always_inline]] inline T opaque(T v) {
  asm volatile("" : "+r"(v));
  return v;
}
[[gnu::always_inline]] inline wide opaque_vector(std::uint64_t v) {
  wide w{};
  w = w + v;
  asm volatile("" : VECTOR_REGISTER(w));
  return w;
}

void keep_vectors(void* raw) {
  auto& p = *static_cast<player*>(raw);
  const std::uint64_t s = p.seed;
  wide v[vectors];
#pragma GCC unroll 32
  for (int i = 0; i < vectors; ++i) v[i] = opaque_vector(s * 1000 + static_cast<std::uint64_t>(i));
  for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < vectors; ++i) asm volatile("" : VECTOR_REGISTER(v[i]));
    suspend(*p.f);
#pragma GCC unroll 32
    for (int i = 0; i < vectors; ++i) asm volatile("" : VECTOR_REGISTER(v[i]));
  }
#pragma GCC unroll 32
  for (int i = 0; i < vectors; ++i) {
    std::uint64_t lanes[vector_bytes / 8];
    std::memcpy(lanes, &v[i], sizeof lanes);
    for (std::uint64_t lane : lanes) p.wrong += lane != s * 1000 + static_cast<std::uint64_t>(i);
  }
}

void keep_integers(void* raw) {
  auto& p = *static_cast<player*>(raw);
  const std::uint64_t s = p.seed;
  std::uint64_t a = opaque(s + 1), b = opaque(s + 2), c = opaque(s + 3), d = opaque(s + 4), e = opaque(s + 5),
                g = opaque(s + 6), h = opaque(s + 7), i = opaque(s + 8), j = opaque(s + 9), k = opaque(s + 10),
                l = opaque(s + 11), m = opaque(s + 12);
  for (int round = 0; round < 10; ++round) {
    suspend(*p.f);
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(g));
    asm volatile("" : "+r"(h), "+r"(i), "+r"(j), "+r"(k), "+r"(l), "+r"(m));
  }
  p.wrong += a + b + c + d + e + g + h + i + j + k + l + m != 12 * s + 78;
}

void keep_long_doubles(void* raw) {
  auto& p = *static_cast<player*>(raw);
  const auto s = static_cast<long double>(p.seed);
  long double a = s + 0.5L, b = s + 1.5L, c = s + 2.5L;
  for (int round = 0; round < 10; ++round) {
    suspend(*p.f);
    a += 1.0L, b += 1.0L, c += 1.0L;
  }
  p.wrong += a + b + c != 3.0L * s + 34.5L;
}

// A frame of variable size with an over-aligned local: compilers hold it by rbp and, clang, rbx.
void keep_an_odd_frame(void* raw) {
  auto& p = *static_cast<player*>(raw);
  alignas(64) volatile std::uint64_t aligned[8];
  const std::size_t n = 8 + p.seed % 100;
  auto* variable = static_cast<volatile std::uint64_t*>(__builtin_alloca(n * sizeof(std::uint64_t)));
  for (std::size_t i = 0; i < n; ++i) variable[i] = p.seed + i;
  for (std::size_t i = 0; i < 8; ++i) aligned[i] = p.seed * i;
  for (int round = 0; round < 10; ++round) suspend(*p.f);
  for (std::size_t i = 0; i < n; ++i) p.wrong += variable[i] != p.seed + i;
  for (std::size_t i = 0; i < 8; ++i) p.wrong += aligned[i] != p.seed * i;
  p.wrong += (reinterpret_cast<std::uintptr_t>(aligned) & 63) != 0;
}

std::uint64_t play(std::initializer_list<fiber_job> jobs) {
  fiber_pool pool;
  fiber_cache cache(pool);
  constexpr int most = 8;
  player players[most];
  int count = 0;
  std::uint64_t wrong = 0;
  for (int copy = 0; copy < 2; ++copy)
    for (fiber_job job : jobs) {
      player& p = players[count++];
      p.f = cache.take(stack_class::k64);
      p.seed = static_cast<std::uint64_t>(17 * count + 3);
      wrong += enter(*p.f, job, &p) != fiber_outcome::blocked;
    }
  for (int round = 0; round < 9; ++round)
    for (int i = 0; i < count; ++i) wrong += resume(*players[i].f) != fiber_outcome::blocked;
  for (int i = 0; i < count; ++i) wrong += resume(*players[i].f) != fiber_outcome::done;
  for (int i = 0; i < count; ++i) wrong += players[i].wrong;
  return wrong;
}

}  // namespace

TEST_CASE("integer registers survive a switch") { CHECK(play({keep_integers}) == 0); }
TEST_CASE("vector registers survive a switch") { CHECK(play({keep_vectors}) == 0); }
TEST_CASE("x87 registers survive a switch") { CHECK(play({keep_long_doubles}) == 0); }
TEST_CASE("frames of variable size and strict alignment survive a switch") { CHECK(play({keep_an_odd_frame}) == 0); }
TEST_CASE("jobs that use registers differently do not disturb each other") {
  CHECK(play({keep_integers, keep_vectors, keep_long_doubles, keep_an_odd_frame}) == 0);
}

#if defined(__AVX512F__)
TEST_CASE("mask registers survive a switch") {
  fiber_pool pool;
  fiber_cache cache(pool);
  player p{.f = cache.take(stack_class::k64), .seed = 9, .wrong = 0};
  const auto job = [](void* raw) {
    auto& mine = *static_cast<player*>(raw);
    unsigned short a = 0x1234, b = 0x5678, c = 0x9abc;
    asm volatile("" : "+Yk"(a), "+Yk"(b), "+Yk"(c));
    suspend(*mine.f);
    asm volatile("" : "+Yk"(a), "+Yk"(b), "+Yk"(c));
    mine.wrong = !(a == 0x1234 && b == 0x5678 && c == 0x9abc);
  };
  REQUIRE(enter(*p.f, job, &p) == fiber_outcome::blocked);
  unsigned short x = 0, y = 0, z = 0;
  asm volatile("kxorw %%k1, %%k1, %%k1\n\tkmovw %%k1, %%k2\n\tkmovw %%k1, %%k3\n\tkmovw %%k1, %%k4\n\t"
               "kmovw %%k1, %%k5\n\tkmovw %%k1, %%k6\n\tkmovw %%k1, %%k7"
               : "+r"(x), "+r"(y), "+r"(z)
               :
               : "k1", "k2", "k3", "k4", "k5", "k6", "k7");
  CHECK(resume(*p.f) == fiber_outcome::done);
  CHECK(p.wrong == 0);
}
#endif
