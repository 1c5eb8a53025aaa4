// SPDX-License-Identifier: Apache-2.0
//
// What through_sync.cpp must come down to: compiler builtins on a bare word.
using word = unsigned long;

extern "C" {
unsigned long load_relaxed(word& w) { return __atomic_load_n(&w, __ATOMIC_RELAXED); }
unsigned long load_acquire(word& w) { return __atomic_load_n(&w, __ATOMIC_ACQUIRE); }
unsigned long load_seq_cst(word& w) { return __atomic_load_n(&w, __ATOMIC_SEQ_CST); }
void store_relaxed(word& w, unsigned long v) { __atomic_store_n(&w, v, __ATOMIC_RELAXED); }
void store_release(word& w, unsigned long v) { __atomic_store_n(&w, v, __ATOMIC_RELEASE); }
void store_seq_cst(word& w, unsigned long v) { __atomic_store_n(&w, v, __ATOMIC_SEQ_CST); }
unsigned long exchange(word& w, unsigned long v) { return __atomic_exchange_n(&w, v, __ATOMIC_ACQ_REL); }
unsigned long fetch_add(word& w, unsigned long v) { return __atomic_fetch_add(&w, v, __ATOMIC_RELAXED); }
unsigned long fetch_sub(word& w, unsigned long v) { return __atomic_fetch_sub(&w, v, __ATOMIC_SEQ_CST); }
void set_bits(word& w, unsigned long v) { __atomic_fetch_or(&w, v, __ATOMIC_RELEASE); }
void clear_bits(word& w, unsigned long v) { __atomic_fetch_and(&w, ~v, __ATOMIC_ACQUIRE); }
bool claim(word& w) {
  unsigned long idle = 0;
  return __atomic_compare_exchange_n(&w, &idle, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
}
bool replace(word& w, unsigned long& expected, unsigned long v) {
  return __atomic_compare_exchange_n(&w, &expected, v, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
void full_fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void pause_once() { __builtin_ia32_pause(); }
unsigned long plain(unsigned long& v) {
  v = v + 1;
  return v;
}
int no_fault() { return 2; }
}
