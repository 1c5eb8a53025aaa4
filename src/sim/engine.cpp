// SPDX-License-Identifier: Apache-2.0
//
// engine, the implementation: threads, steps, the clock, blocking; at the end the out-of-line part of the simulated sync,
// the engine's only customer. See engine.hpp.
#include "sim/engine.hpp"

#include "sim/arena.hpp"
#include "sim/context.hpp"
#include "sim/exhaustive.hpp"
#include "sim/strategy.hpp"

#include <coppice/base/assert.hpp>
#include <coppice/base/detail/sync.hpp>

#include <sys/mman.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>
#include <tuple>
#include <utility>

namespace coppice::internal::sim {

namespace sync = coppice::detail::sync;

namespace {

constexpr std::size_t stack_bytes = 256 * 1024;
constexpr std::size_t guard_bytes = 64 * 1024;
constexpr unsigned accident_odds = 64;          // one time in
constexpr unsigned housekeeping_patience = 40;  // rounds in which only housekeepers wake
constexpr std::int64_t start_of_time = 1'000'000'000;
constexpr std::int64_t step_time = 5;   // an operation takes a little, a look at the clock and a pause more:
constexpr std::int64_t look_time = 25;  // loops that spin "for a microsecond" must end
constexpr std::int64_t pause_time = 50;

enum class phase : std::uint8_t { unused, runnable, sleeping, joining, ended };

struct simulated_thread {
  unsigned id = 0;
  phase at = phase::unused;
  bool joined = false;
  bool housekeeper = false;
  bool timed_out = false;
  std::array<char, 32> name{};

  void* context = nullptr;  // where it stands while another one runs
  exception_globals exceptions;
  int error = 0;

  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  void* block = nullptr;  // what this_thread_block returns
  void (*at_exit)(void*) = nullptr;

  std::uint32_t count = 0;  // own operations: half of a decision's key
  knowledge knows;

  const void* futex = nullptr;  // asleep on it
  std::int64_t deadline = sync::never;
  std::uint64_t ticket = 0;  // sleepers wake in the order in which they lay down
  unsigned waits_for = 0;    // whom it joins
};

class engine {
 public:
  run_result execute(const run_options& options);
  [[noreturn]] void abandon(const char* format, va_list arguments) noexcept;

  [[nodiscard]] bool is_running() const noexcept { return running_; }
  [[nodiscard]] const char* name_of(unsigned thread) const noexcept { return threads_[thread].name.data(); }
  [[nodiscard]] simulated_thread& current() noexcept { return *current_; }
  [[nodiscard]] bool fault(int n) const noexcept { return n != 0 && n == options_->what.fault; }
  std::uint64_t data() noexcept { return data_.next(); }

  /// One operation on memory: waits for its turn, performs, and notes what it did.
  template <class Perform>
  effect step(operation what, const void* where, bool writes, int order, Perform perform) {
    simulated_thread& me = announce({where, writes}, false);
    const effect e = perform(me.knows);
    note(what, e, order);
    return e;
  }
  bool compare_and_swap(void* where, unsigned size, std::uint64_t& expected, std::uint64_t desired, int order,
                        int order_of_failure, bool weak);
  bool futex_wait(const void* where, unsigned size, std::uint64_t expected, std::int64_t deadline);
  void futex_wake(const void* where, int count);
  std::int64_t look_at_clock();
  void relax();
  void fence();
  void switch_point();
  unsigned start_thread(void (*body)(void*), void* argument, const char* name);
  void join(unsigned thread);
  /// Nobody will join it: a run may end without it.
  void leave_alone(unsigned thread) noexcept { threads_[thread].joined = true; }
  bool buggify();
  unsigned choose_age(unsigned choices);

  memory cells;

 private:
  void prepare(const run_options& options);
  unsigned free_number();
  simulated_thread& add_thread(void (*body)(void*), void* argument, const char* name);
  static void begin_thread();
  void end_thread();
  [[noreturn]] void leave() noexcept;

  simulated_thread& announce(pending_operation next, bool yields);
  void count_step(simulated_thread& me);
  void block(simulated_thread& me);
  unsigned pick(bool yields);
  void transfer(unsigned next) noexcept;

  void enable(simulated_thread& t) noexcept;
  void disable(simulated_thread& t, phase at) noexcept;
  void wake_due() noexcept;
  void go_to(std::int64_t when) noexcept;
  void idle();
  void leap();
  [[noreturn]] void report_deadlock(const char* what);

  bool accident(deviation d);
  void record(deviation what, unsigned argument);
  const decision* planned(deviation what) const noexcept;
  void note(operation what, const effect& e, int order);

  const run_options* options_ = nullptr;
  bool running_ = false;
  run_result result_;
  std::array<char, 768> failure_{};
  void* driver_ = nullptr;  // context of execute()
  exception_globals driver_exceptions_;

  std::array<simulated_thread, max_threads> threads_{};
  std::array<pending_operation, max_threads> pending_{};
  pending_operation performed_;
  std::uint32_t enabled_ = 0;
  simulated_thread* current_ = nullptr;
  unsigned alone_ = 0;
  std::byte* stacks_ = nullptr;

  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0;
  std::int64_t clock_ = 0;
  std::int64_t first_deadline_ = sync::never;
  std::uint64_t tickets_ = 0;
  unsigned housekeeping_ = 0;

  strategy strategy_;
  random_stream chance_;
  random_stream data_;
  schedule plan_;  // sorted, when a list of decisions is followed
};

engine the;

// --- a run ---------------------------------------------------------------------------------------------------------------

/// An assertion of the library that fails inside a run fails the run.
void assertion_fails(const char* file, int line, const char* condition, const char* text) {
  const std::string_view path = file;
  const std::size_t folder = path.rfind('/');
  fail("assertion in %s:%d: %s (%s), thread %s", file + (folder == path.npos ? 0 : folder + 1), line, text, condition,
       thread_name(the.current().id));
}

void signal_fails(int number, siginfo_t* info, void*) {
  if (!the.is_running()) {
    std::signal(number, SIG_DFL);  // not ours: it comes again and ends the program
    return;
  }
  fail("signal %d (%s) at address %p in thread %s", number, sigabbrev_np(number), info->si_addr,
       thread_name(the.current().id));
}

/// While it lives, crashes in simulated code end the run and not the program.
class crash_guard {
 public:
  crash_guard() noexcept {
    stack_t own{};
    own.ss_sp = stack_.data();
    own.ss_size = stack_.size();
    sigaltstack(&own, &old_stack_);
    struct sigaction action{};
    action.sa_sigaction = signal_fails;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler does not return
    for (std::size_t i = 0; i != signals.size(); ++i) sigaction(signals[i], &action, &old_actions_[i]);
    old_handler_ = set_assert_handler(assertion_fails);
  }
  ~crash_guard() {
    set_assert_handler(old_handler_);
    for (std::size_t i = 0; i != signals.size(); ++i) sigaction(signals[i], &old_actions_[i], nullptr);
    sigaltstack(&old_stack_, nullptr);
  }
  crash_guard(const crash_guard&) = delete;
  crash_guard& operator=(const crash_guard&) = delete;

 private:
  static constexpr std::array<int, 5> signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  static inline std::array<std::byte, 64 * 1024> stack_{};
  stack_t old_stack_{};
  std::array<struct sigaction, signals.size()> old_actions_{};
  assert_handler old_handler_ = nullptr;
};

void enter_body(void* raw) { (*static_cast<const std::function<void()>*>(raw))(); }

run_result engine::execute(const run_options& options) {
  if (running_) std::abort();  // a run inside a run: the tables have one user
  prepare(options);
  {
    const crash_guard guard;
    arena::begin();
    running_ = true;
    simulated_thread& first = add_thread(enter_body, const_cast<void*>(static_cast<const void*>(options.body)), "main");
    current_ = &first;
    driver_exceptions_ = swap_exception_globals({});
    const int error = errno;
    coppice_sim_switch(&driver_, first.context);
    errno = error;
    swap_exception_globals(driver_exceptions_);
    running_ = false;
    result_.blocks_left = arena::end(result_.failed);
  }
  if (result_.failed) result_.failure = failure_.data();
  result_.hash = hash_;
  result_.steps = steps_;
  return std::move(result_);
}

void engine::prepare(const run_options& options) {
  if (stacks_ == nullptr) {
    void* memory = mmap(nullptr, max_threads * (guard_bytes + stack_bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    stacks_ = static_cast<std::byte*>(memory);
    for (unsigned t = 0; t < max_threads; ++t)
      mprotect(stacks_ + t * (guard_bytes + stack_bytes), guard_bytes, PROT_NONE);
  }
  options_ = &options;
  result_ = {};
  threads_.fill({});
  pending_.fill({});
  performed_ = {};
  enabled_ = 0;
  alone_ = 0;
  steps_ = hash_ = tickets_ = 0;
  clock_ = start_of_time;
  first_deadline_ = sync::never;
  housekeeping_ = 0;
  cells.reset(options.what.model);
  const std::uint64_t seed = options.schedule_seed != 0 ? options.schedule_seed : options.what.seed;
  strategy_.start(options.what, seed);
  chance_ = random_stream(seed ^ (std::uint64_t{1} << 63));
  data_ = random_stream(~options.what.seed);
  plan_.clear();
  if (options.what.replay) plan_ = *options.what.replay;
  std::sort(plan_.begin(), plan_.end(), [](const decision& a, const decision& b) {
    return std::tuple(a.thread, a.operation, a.what) < std::tuple(b.thread, b.operation, b.what);
  });
}

void engine::leave() noexcept {
  void* nowhere = nullptr;
  coppice_sim_switch(&nowhere, driver_);
  std::abort();  // nobody comes back to an ended run
}

void engine::abandon(const char* format, va_list arguments) noexcept {
  std::vsnprintf(failure_.data(), failure_.size(), format, arguments);
  if (!running_) {
    std::fprintf(stderr, "coppice simulation: %s (outside of a run)\n", failure_.data());
    std::abort();
  }
  result_.failed = true;
  leave();
}

// --- threads -------------------------------------------------------------------------------------------------------------

/// A number that no thread had, else one whose thread has ended and was joined.
unsigned engine::free_number() {
  for (unsigned id = 0; id < max_threads; ++id)
    if (threads_[id].at == phase::unused) return id;
  for (unsigned id = 1; id < max_threads; ++id)
    if (threads_[id].at == phase::ended && threads_[id].joined) return id;
  fail("more than %u threads at once", max_threads);
}

simulated_thread& engine::add_thread(void (*body)(void*), void* argument, const char* name) {
  const unsigned id = free_number();
  simulated_thread& t = threads_[id];
  const std::uint32_t count = t.count;  // a number that is used again goes on counting: keys and epochs stay unique
  const epoch own = t.knows.now.before.at[id];
  t = {};
  t.id = id;
  t.count = count;
  t.knows.thread = id;
  t.knows.now.before.at[id] = t.knows.now.bound.at[id] = own;
  t.knows.advance();
  t.body = body;
  t.argument = argument;
  std::snprintf(t.name.data(), t.name.size(), "%s", name != nullptr ? name : "");
  if (name == nullptr) std::snprintf(t.name.data(), t.name.size(), "thread%u", id);
  if (options_->housekeepers != nullptr)
    for (const std::string& part : *options_->housekeepers)
      t.housekeeper |= std::string_view(t.name.data()).find(part) != std::string_view::npos;
  t.context = fresh_context(stacks_ + (id + 1) * (guard_bytes + stack_bytes), begin_thread);
  pending_[id] = {};
  strategy_.thread_started(id);
  enable(t);
  return t;
}

void engine::begin_thread() {
  simulated_thread& me = the.current();
  try {
    me.body(me.argument);
    if (me.block != nullptr && me.at_exit != nullptr) me.at_exit(me.block);
    me.block = nullptr;
    if (me.id == 0 && the.options_->finish != nullptr) the.options_->finish();
  } catch (const std::exception& e) {
    fail("an exception left thread %s: %s", me.name.data(), e.what());
  } catch (...) {
    fail("an exception left thread %s", me.name.data());
  }
  the.end_thread();
}

void engine::end_thread() {
  simulated_thread& me = *current_;
  note(operation::end_thread, {}, -1);
  if (me.id == 0) {
    for (const simulated_thread& t : threads_)
      if (t.id != 0 && t.at != phase::unused && !t.joined) fail("main ended before it joined %s", t.name.data());
    leave();
  }
  disable(me, phase::ended);
  for (simulated_thread& t : threads_)
    if (t.at == phase::joining && t.waits_for == me.id) enable(t);
  block(me);
  std::abort();
}

unsigned engine::start_thread(void (*body)(void*), void* argument, const char* name) {
  simulated_thread& me = announce({}, false);
  simulated_thread& t = add_thread(body, argument, name);
  t.knows.now.join(me.knows.now);
  me.knows.advance();  // what we write from here on is not known to it
  note(operation::start_thread, {t.name.data(), t.id, t.id, 0}, -1);
  return t.id;
}

void engine::join(unsigned thread) {
  simulated_thread& me = announce({}, false);
  simulated_thread& other = threads_[thread];
  if (other.at != phase::ended) {
    me.waits_for = thread;
    disable(me, phase::joining);
    block(me);
    me.knows.advance();
  }
  other.joined = true;
  me.knows.now.join(other.knows.now);
  note(operation::join_thread, {other.name.data(), other.id, other.id, 0}, -1);
}

// --- steps ---------------------------------------------------------------------------------------------------------------

/// Waits for the turn of the current thread's next operation.
simulated_thread& engine::announce(pending_operation next, bool yields) {
  simulated_thread& me = *current_;
  if (!me.housekeeper) housekeeping_ = 0;
  performed_ = std::exchange(pending_[me.id], next);
  count_step(me);
  leap();
  const unsigned chosen = pick(yields);
  if (chosen != me.id) transfer(chosen);
  me.knows.advance();
  return me;
}

void engine::count_step(simulated_thread& me) {
  ++me.count;
  clock_ += step_time;
  if (++steps_ > options_->step_limit)
    fail("livelock: no end after %llu steps", static_cast<unsigned long long>(steps_ - 1));
  if (clock_ >= first_deadline_) wake_due();
}

/// The second half of a blocking operation: somebody else runs, until we are enabled and chosen again.
void engine::block(simulated_thread& me) {
  performed_ = std::exchange(pending_[me.id], pending_operation{});
  count_step(me);
  while (enabled_ == 0) idle();
  const unsigned chosen = pick(false);
  if (chosen != me.id) transfer(chosen);
}

unsigned engine::pick(bool yields) {
  const unsigned me = current_->id;
  if (std::has_single_bit(enabled_)) {
    alone_ = 0;
    return static_cast<unsigned>(std::countr_zero(enabled_));
  }
  const situation s{me, enabled_, yields, alone_, result_.choices, performed_, &pending_};
  const unsigned usual = usual_choice(s);
  unsigned chosen = usual;
  ++result_.choices;
  if (options_->what.replay) {
    const decision* d = planned(deviation::go_on_with);
    if (d != nullptr && (enabled_ >> d->argument & 1) != 0) chosen = d->argument;
  } else if (options_->explore != nullptr) {
    const auto others = static_cast<unsigned>(std::popcount(enabled_ & ~(1u << usual)));
    unsigned skip =
        usual == me ? options_->explore->choose_preemption(others + 1) : options_->explore->choose(others + 1);
    for (; skip != 0; --skip) {
      chosen = next_upwards(enabled_, chosen);
    }
  } else {
    chosen = strategy_.choose(s);
  }
  if (chosen != usual) record(deviation::go_on_with, chosen);
  alone_ = chosen == me ? alone_ + 1 : 0;
  return chosen;
}

void engine::transfer(unsigned next) noexcept {
  simulated_thread& from = *current_;
  simulated_thread& to = threads_[next];
  current_ = &to;
  from.exceptions = swap_exception_globals(to.exceptions);
  from.error = std::exchange(errno, to.error);
  coppice_sim_switch(&from.context, to.context);
}

// --- the clock -----------------------------------------------------------------------------------------------------------

void engine::enable(simulated_thread& t) noexcept {
  t.at = phase::runnable;
  enabled_ |= 1u << t.id;
}

void engine::disable(simulated_thread& t, phase at) noexcept {
  t.at = at;
  enabled_ &= ~(1u << t.id);
}

/// Wakes the sleepers whose deadline has come.
void engine::wake_due() noexcept {
  first_deadline_ = sync::never;
  for (simulated_thread& t : threads_) {
    if (t.at != phase::sleeping) continue;
    if (t.deadline <= clock_) {
      t.timed_out = true;
      enable(t);
    } else {
      first_deadline_ = std::min(first_deadline_, t.deadline);
    }
  }
}

void engine::go_to(std::int64_t when) noexcept {
  clock_ = std::max(clock_, when);
  wake_due();
}

/// Nobody can run: the clock goes on to the first deadline.
void engine::idle() {
  std::int64_t any = sync::never;
  std::int64_t serious = sync::never;
  for (const simulated_thread& t : threads_) {
    if (t.at != phase::sleeping) continue;
    any = std::min(any, t.deadline);
    if (!t.housekeeper) serious = std::min(serious, t.deadline);
  }
  if (any == sync::never) report_deadlock("deadlock");
  if (any < serious && ++housekeeping_ > housekeeping_patience) {
    if (serious == sync::never) report_deadlock("deadlock (only housekeepers wake)");
    any = serious;
  }
  go_to(any);
  note(operation::clock_moves, {}, -1);
}

/// Now and then the first timer fires although others could run: else a reply hardly ever meets its timeout.
void engine::leap() {
  if (first_deadline_ == sync::never) return;
  const bool now =
      options_->explore != nullptr ? options_->explore->choose_preemption(2) != 0 : accident(deviation::clock_leap);
  if (!now) return;
  if (options_->explore != nullptr) record(deviation::clock_leap, 0);
  go_to(first_deadline_);
  note(operation::clock_leap, {}, -1);
}

void engine::report_deadlock(const char* what) {
  std::array<char, 512> who{};
  std::size_t used = 0;
  const auto add = [&](const char* format, auto... arguments) {
    if (used < who.size())
      used += static_cast<std::size_t>(std::snprintf(who.data() + used, who.size() - used, format, arguments...));
  };
  for (const simulated_thread& t : threads_) {
    if (t.at == phase::joining) add("; %s joins %s", t.name.data(), threads_[t.waits_for].name.data());
    if (t.at != phase::sleeping) continue;
    const cell* word = cells.known(t.futex);
    add("; %s sleeps on %s #%u", t.name.data(), word != nullptr ? word->name : "a word",
        word != nullptr ? word->number : 0);
  }
  fail("%s%s", what, who.data());
}

// --- decisions -----------------------------------------------------------------------------------------------------------

const decision* engine::planned(deviation what) const noexcept {
  const std::tuple key(current_->id, current_->count, what);
  const auto at = std::lower_bound(plan_.begin(), plan_.end(), key, [](const decision& d, const auto& k) {
    return std::tuple(d.thread, d.operation, d.what) < k;
  });
  const bool found = at != plan_.end() && std::tuple(at->thread, at->operation, at->what) == key;
  return found ? &*at : nullptr;
}

void engine::record(deviation what, unsigned argument) {
  const outside_arena guard;
  result_.decisions.push_back({current_->id, current_->count, what, argument});
}

bool engine::accident(deviation d) {
  bool happens = false;
  if (options_->what.replay)
    happens = planned(d) != nullptr;
  else if (options_->explore == nullptr && options_->what.strategy != strategy_kind::usual)
    happens = chance_.one_in(accident_odds);
  if (happens) record(d, 0);
  return happens;
}

unsigned engine::choose_age(unsigned choices) {
  unsigned age = 0;
  if (options_->what.replay) {
    if (const decision* d = planned(deviation::read_older)) age = std::min(d->argument, choices - 1);
  } else if (options_->explore != nullptr) {
    age = options_->explore->choose_old_read(choices);
  } else if (options_->what.strategy != strategy_kind::usual && chance_.one_in(2)) {
    age = chance_.below(choices);
  }
  if (age != 0) record(deviation::read_older, age);
  return age;
}

/// The hash holds no address, no value and no clock of the machine: the same in every process and with every compiler.
void engine::note(operation what, const effect& e, int order) {
  const std::uint64_t seen = current_->id | std::uint64_t{static_cast<std::uint8_t>(what)} << 8 |
                             std::uint64_t{e.age} << 16 | std::uint64_t{e.number} << 24;
  hash_ = (hash_ ^ seen) * 0x9FB21C651E98DF25u;
  hash_ ^= hash_ >> 29;
  if (!options_->keep_story) return;
  const outside_arena guard;
  result_.story.push_back({steps_, e.value, current_->count, what, static_cast<std::uint8_t>(current_->id),
                           static_cast<std::uint8_t>(e.age), order, e.number, e.name, current_->name.data(), clock_});
}

// --- operations ----------------------------------------------------------------------------------------------------------

bool engine::compare_and_swap(void* where, unsigned size, std::uint64_t& expected, std::uint64_t desired, int order,
                              int order_of_failure, bool weak) {
  simulated_thread& me = announce({where, true}, false);
  const bool fails_anyway = weak && accident(deviation::weak_failure);
  bool done = false;
  const effect e =
      cells.compare_and_swap(me.knows, where, size, expected, desired, order, order_of_failure, fails_anyway, done);
  note(done ? operation::cas : operation::cas_failed, e, done ? order : order_of_failure);
  expected = e.value;
  return done;
}

bool engine::futex_wait(const void* where, unsigned size, std::uint64_t expected, std::int64_t deadline) {
  simulated_thread& me = announce({where, false}, false);
  const effect e = cells.peek(me.knows, where, size);
  note(operation::futex_wait, e, -1);
  if (static_cast<std::uint32_t>(e.value) != static_cast<std::uint32_t>(expected)) return true;  // the kernel's 32 bits
  if (deadline <= clock_) return false;
  if (accident(deviation::spurious_wake)) return true;

  me.futex = where;
  me.deadline = deadline;
  me.ticket = ++tickets_;
  me.timed_out = false;
  first_deadline_ = std::min(first_deadline_, deadline);
  disable(me, phase::sleeping);
  block(me);
  me.knows.advance();
  note(me.timed_out ? operation::futex_timeout : operation::futex_return, {e.name, e.number, 0, 0}, -1);
  return !me.timed_out;
}

void engine::futex_wake(const void* where, int count) {
  announce({where, true}, false);
  unsigned woken = 0;
  for (; count > 0; --count) {
    simulated_thread* first = nullptr;
    for (simulated_thread& t : threads_)
      if (t.at == phase::sleeping && t.futex == where && (first == nullptr || t.ticket < first->ticket)) first = &t;
    if (first == nullptr) break;
    enable(*first);
    ++woken;
  }
  const cell* word = cells.known(where);
  note(operation::futex_wake, {word != nullptr ? word->name : nullptr, word != nullptr ? word->number : 0, woken, 0},
       -1);
}

std::int64_t engine::look_at_clock() {
  announce({}, false);
  clock_ += look_time;
  note(operation::now, {}, -1);
  return clock_;
}

void engine::relax() {
  clock_ += pause_time;
  announce({}, true);
  note(operation::relax, {}, -1);
}

void engine::fence() {
  simulated_thread& me = announce({}, false);
  cells.fence(me.knows);
  note(operation::fence, {}, -1);
}

void engine::switch_point() {
  announce({}, false);
  note(operation::switch_point, {}, -1);
}

bool engine::buggify() {
  count_step(*current_);
  return accident(deviation::buggify);
}

}  // namespace

run_result run(const run_options& options) { return the.execute(options); }
bool running() noexcept { return the.is_running(); }
const char* thread_name(unsigned thread) noexcept { return the.name_of(thread); }
unsigned choose_age(unsigned choices) noexcept { return the.choose_age(choices); }
std::uint64_t random_data() noexcept { return the.data(); }

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  the.abandon(format, arguments);
}

outside_arena::outside_arena() noexcept : was_(arena::use(false)) {}
outside_arena::~outside_arena() { arena::use(was_); }

}  // namespace coppice::internal::sim

// --- sync ----------------------------------------------------------------------------------------------------------------

namespace coppice::detail::sync {

namespace {

namespace sim = coppice::internal::sim;
using sim::effect;
using sim::knowledge;
using sim::operation;
using sim::the;

std::uint64_t changed(std::uint64_t old, simulated::change how, std::uint64_t operand) noexcept {
  switch (how) {
    case simulated::change::exchange:
      return operand;
    case simulated::change::add:
      return old + operand;
    case simulated::change::subtract:
      return old - operand;
    case simulated::change::bit_or:
      return old | operand;
    case simulated::change::bit_and:
      return old & operand;
  }
  return operand;
}

operation name_of(simulated::change how) noexcept {
  constexpr operation names[] = {operation::exchange, operation::fetch_add, operation::fetch_sub, operation::fetch_or,
                                 operation::fetch_and};
  return names[static_cast<unsigned>(how)];
}

/// What lies at `where`, for the time outside of runs.
std::uint64_t bare(const void* where, unsigned size) noexcept {
  std::uint64_t value = 0;
  __builtin_memcpy(&value, where, size);
  return value;
}
void put_bare(void* where, unsigned size, std::uint64_t value) noexcept { __builtin_memcpy(where, &value, size); }

void* block_outside = nullptr;

}  // namespace

namespace simulated {

void cell_constructed(void* where, unsigned size, const char* name) noexcept {
  if (the.is_running()) the.cells.construct_cell(the.current().knows, where, size, name);
}

void cell_destroyed(void* where) noexcept {
  if (the.is_running()) the.cells.destroy_cell(the.current().knows, where);
}

std::uint64_t load(const void* where, unsigned size, int order) noexcept {
  if (!the.is_running()) return bare(where, size);
  return the
      .step(operation::load, where, false, order, [&](knowledge& me) { return the.cells.load(me, where, size, order); })
      .value;
}

void store(void* where, unsigned size, std::uint64_t value, int order) noexcept {
  if (!the.is_running()) return put_bare(where, size, value);
  the.step(operation::store, where, true, order,
           [&](knowledge& me) { return the.cells.store(me, where, size, value, order); });
}

std::uint64_t modify(void* where, unsigned size, change how, std::uint64_t operand, int order) noexcept {
  if (!the.is_running()) {
    const std::uint64_t old = bare(where, size);
    put_bare(where, size, changed(old, how, operand));
    return old;
  }
  const auto make = [&](std::uint64_t old) { return changed(old, how, operand); };
  return the
      .step(name_of(how), where, true, order,
            [&](knowledge& me) { return the.cells.modify(me, where, size, order, make); })
      .value;
}

bool compare_and_swap(void* where, unsigned size, std::uint64_t& expected, std::uint64_t desired, int order,
                      int order_of_failure, bool weak) noexcept {
  if (the.is_running()) return the.compare_and_swap(where, size, expected, desired, order, order_of_failure, weak);
  const std::uint64_t old = bare(where, size);
  const bool equal = old == expected;
  if (equal) put_bare(where, size, desired);
  expected = old;
  return equal;
}

void var_constructed(const void* where, const char* name) noexcept {
  if (the.is_running()) the.cells.construct_var(the.current().knows, where, name);
}

void var_destroyed(const void* where) noexcept {
  if (the.is_running()) the.cells.destroy_var(the.current().knows, where);
}

void var_read(const void* where) noexcept {
  if (!the.is_running()) return;
  the.step(operation::read_var, where, false, -1, [&](knowledge& me) { return the.cells.read_var(me, where); });
}

void var_written(const void* where) noexcept {
  if (!the.is_running()) return;
  the.step(operation::write_var, where, true, -1, [&](knowledge& me) { return the.cells.write_var(me, where); });
}

}  // namespace simulated

std::int64_t now() noexcept { return the.is_running() ? the.look_at_clock() : sim::start_of_time; }

bool futex_wait(futex_word& word, std::uint32_t expected, std::int64_t deadline) noexcept {
  if (!the.is_running()) sim::fail("nobody can wake a futex wait");
  return the.futex_wait(word.address(), sizeof expected, expected, deadline);
}

bool futex_wait(atomic<std::uint64_t>& word, std::uint64_t expected, std::int64_t deadline) noexcept {
  if (!the.is_running()) sim::fail("nobody can wake a futex wait");
  return the.futex_wait(word.address(), sizeof expected, expected, deadline);
}

void futex_wake(futex_word* word, int count) noexcept {
  if (the.is_running()) the.futex_wake(word->address(), count);
}

void futex_wake(atomic<std::uint64_t>* word, int count) noexcept {
  if (the.is_running()) the.futex_wake(word->address(), count);
}

unsigned cores() noexcept { return 2; }

void relax() noexcept {
  if (the.is_running()) the.relax();
}

void fence(seq_cst_t) noexcept {
  if (the.is_running()) the.fence();
}

void switch_point() noexcept {
  if (the.is_running()) the.switch_point();
}

bool fault(int n) noexcept { return the.is_running() && the.fault(n); }
bool buggify() noexcept { return the.is_running() && the.buggify(); }

void* this_thread_block() noexcept { return the.is_running() ? the.current().block : block_outside; }

void set_this_thread_block(void* block, void (*at_exit)(void*)) noexcept {
  if (!the.is_running()) {
    block_outside = block;
    return;
  }
  the.current().block = block;
  the.current().at_exit = at_exit;
}

thread::thread(void (*body)(void*), void* argument, const char* name) {
  if (!the.is_running()) sim::fail("a thread is started");
  handle_ = the.start_thread(body, argument, name);
  joinable_ = true;
}

thread& thread::operator=(thread&& other) noexcept {
  if (this != &other) {
    join();
    handle_ = other.handle_;
    joinable_ = other.joinable_;
    other.joinable_ = false;
  }
  return *this;
}

thread::~thread() { join(); }

void thread::join() noexcept {
  if (!joinable_) return;
  the.join(static_cast<unsigned>(handle_));
  joinable_ = false;
}

void thread::leave() noexcept {
  if (!joinable_) return;
  the.leave_alone(static_cast<unsigned>(handle_));
  joinable_ = false;
}

void spinlock::spin(int) noexcept { relax(); }

}  // namespace coppice::detail::sync
