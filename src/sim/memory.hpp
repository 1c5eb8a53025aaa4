// SPDX-License-Identifier: Apache-2.0
//
// memory: the simulated memory of one run. What a load may return, and who raced with whom.
//
// Each cell (an atomic) keeps a ring of its last eight stores: the value, the knowledge that its writer published, and
// when each thread saw it first. A load may return any store that is not older than the newest one that the reader is
// bound to know: by happens-before, by its own earlier reads, by fences, by the order of seq_cst operations. Read-modify-
// write operations take the newest store and continue its release sequence. Not modelled: load buffering, stores that are
// inserted into the past, failing compare-and-swaps that read an old value, consume.
//
// Each var (plain data) keeps its last writer and readers; two accesses that are not ordered are a race whatever the
// interleaving was. Destroying a cell or a var counts as a write, touching one afterwards is reported.
//
// Everything is found by address, so that cells have the size of the real ones. A cell that was never seen constructed (a
// static, zeroed memory from the system) is adopted with the value that lies there.
//
// Used by the engine only. Invariants:
//  1. The bare value in a cell equals the newest store in its ring; if not, the memory has become something else.
//  2. Indices into the tables are valid for one run; `reset` forgets all in O(1).
#pragma once

#include "sim/vector_clock.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace coppice::internal::sim {

/// c11: what the language allows. tso: acquire and release everywhere and read-modify-writes as fences, as on x86-64;
/// it tells "wrong on every machine" from "wrong where memory is weaker".
enum class memory_model : std::uint8_t { c11, tso };

struct store_record {
  std::uint64_t value = 0;
  vector_clock seen;  // first epoch in which each thread saw it, or not_yet
  view published;
};

/// An access for the reports: who, and when by its own clock.
struct access {
  unsigned thread = 0;
  epoch when = 0;
};

struct cell {
  static constexpr unsigned depth = 8;

  const void* where = nullptr;
  const char* name = nullptr;
  unsigned number = 0;
  unsigned size = 0;
  bool alive = false;
  access created;
  vector_clock touched;
  std::uint64_t stores = 0;
  std::array<store_record, depth> ring;

  store_record& back(unsigned age) noexcept { return ring[(stores - 1 - age) % depth]; }
  [[nodiscard]] unsigned remembered() const noexcept { return stores < depth ? static_cast<unsigned>(stores) : depth; }
};

struct plain {
  const void* where = nullptr;
  const char* name = nullptr;
  unsigned number = 0;
  bool alive = false;
  access written;
  vector_clock read;
};

/// What the story and the trace hash want to know of an operation.
struct effect {
  const char* name = nullptr;
  unsigned number = 0;
  std::uint64_t value = 0;
  unsigned age = 0;  // 0: the newest store was read
};

class memory {
 public:
  void reset(memory_model model) noexcept;

  void construct_cell(knowledge& me, void* where, unsigned size, const char* name);
  void destroy_cell(knowledge& me, void* where);
  effect load(knowledge& me, const void* where, unsigned size, int order);
  effect store(knowledge& me, void* where, unsigned size, std::uint64_t value, int order);
  /// `make` computes the new value from the old one. Returns the old one.
  template <class Make>
  effect modify(knowledge& me, void* where, unsigned size, int order, Make make) {
    cell& c = touch(me, where, size);
    const std::uint64_t old = c.back(0).value;
    rewrite(me, c, make(old), order);
    return {c.name, c.number, old, 0};
  }
  /// A failed compare-and-swap is a load of the newest store.
  effect compare_and_swap(knowledge& me, void* where, unsigned size, std::uint64_t expected, std::uint64_t desired,
                          int order, int order_of_failure, bool fail_anyway, bool& done);
  /// The look that the kernel takes before it puts a thread to sleep: always the newest value.
  effect peek(knowledge& me, const void* where, unsigned size);
  void fence(knowledge& me) noexcept;

  void construct_var(knowledge& me, const void* where, const char* name);
  void destroy_var(knowledge& me, const void* where);
  effect read_var(knowledge& me, const void* where);
  effect write_var(knowledge& me, const void* where);

  /// The name of the cell at `where`, for reports; null where there is none.
  const cell* known(const void* where) noexcept;

 private:
  struct entry {
    const void* where = nullptr;
    std::uint32_t run = 0;
    std::uint32_t index = 0;
    bool is_var = false;
  };

  entry& slot(const void* where);
  void grow();
  cell& new_cell(const void* where, unsigned size, const char* name);
  plain& new_plain(const void* where, const char* name);
  cell& touch(knowledge& me, const void* where, unsigned size);
  plain& touch_var(const void* where);
  unsigned oldest_allowed(const knowledge& me, cell& c, bool seq_cst) noexcept;
  void see(knowledge& me, store_record& s, int order) noexcept;
  void rewrite(knowledge& me, cell& c, std::uint64_t value, int order);
  store_record& append(knowledge& me, cell& c, std::uint64_t value) noexcept;
  void publish(knowledge& me, store_record& s, int order) noexcept;
  void check_write(knowledge& me, const plain& p, const char* what);

  memory_model model_ = memory_model::c11;
  std::uint32_t run_ = 0;
  std::vector<entry> table_;
  std::size_t used_ = 0;
  std::vector<std::unique_ptr<cell>> cells_;
  std::vector<std::unique_ptr<plain>> plains_;
  std::size_t cell_count_ = 0;
  std::size_t plain_count_ = 0;
  unsigned numbered_ = 0;
  vector_clock fences_;  // joined by every seq_cst fence
  epoch seq_cst_time_ = 0;
};

}  // namespace coppice::internal::sim
