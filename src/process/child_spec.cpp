// SPDX-License-Identifier: Apache-2.0
//
// child_spec: making, checking, printing and starting what a spec describes; and the class cells: which class is started
// where another one was named.
//
// The cells are one immutable list behind one pointer: an upgrade publishes a new list, a start reads the pointer once. Old
// lists stay, because a start may be reading them; there is one for each upgrade of a class, and a few words in it.
#include <coppice/process/child_spec.hpp>

#include <coppice/base/detail/sync.hpp>

#include <new>
#include <stdexcept>
#include <vector>

namespace coppice {

namespace sync = detail::sync;

namespace {

struct replacement {
  const detail::child_class* what;
  const detail::child_class* next;
};
struct cells {
  std::vector<replacement> all;
  const cells* older;
};

constinit sync::atomic<const cells*> current;
sync::spinlock changing;

bool same_value(const detail::value_operations* a, const detail::value_operations* b) noexcept {
  return (a == nullptr) == (b == nullptr) && (a == nullptr || a->key == b->key);
}

bool same_child(const detail::child_class& a, const detail::child_class& b) noexcept {
  return &a == &b || (a.key == b.key && same_value(a.arguments, b.arguments) && same_value(a.before, b.before) && same_value(a.after, b.after));
}

const detail::child_class* find(const cells* list, const detail::child_class& what) noexcept {
  if (list == nullptr) return nullptr;
  for (const replacement& r : list->all)
    if (same_child(*r.what, what)) return r.next;
  return nullptr;
}

}  // namespace

namespace detail {

const child_class& newest(const child_class& what) noexcept {
  const cells* list = current.load(sync::acquire);               // pairs with replace_child_class
  if (list == nullptr) [[likely]] return what;
  const child_class* next = find(list, what);
  return next != nullptr ? *next : what;
}

void replace_child_class(const child_class& what, const child_class& next) {
  if (!same_value(what.arguments, next.arguments) || !same_value(what.before, next.before) || !same_value(what.after, next.after))
    throw std::invalid_argument("a child of class " + std::string(next.name) + " does not start from what one of class " + std::string(what.name) +
                                " starts from");
  const sync::lock_guard held(changing);
  const cells* before = current.load(sync::relaxed);
  auto* list = new cells{{}, before};
  if (before != nullptr)
    for (const replacement& r : before->all)
      if (!same_child(*r.what, what)) list->all.push_back({r.what, same_child(*r.next, what) ? &next : r.next});   // a chain is followed now
  if (!same_child(what, next)) list->all.push_back({&what, &next});
  current.store(list, sync::release);
}

started_child caught_start() {
  try {
    throw;
  } catch (const unwind&) {
    throw;
  } catch (...) {
    return started_child::failure(exit_reason::from_current_exception());
  }
}

namespace {

/// Raw room for a start's arguments: on the stack unless they are large.
class argument_room {
 public:
  argument_room(std::size_t size, std::size_t align) : align_(align) {
    if (size > sizeof inside_ || align > alignof(std::max_align_t)) outside_ = ::operator new(size, std::align_val_t{align});
  }
  argument_room(const argument_room&) = delete;
  ~argument_room() {
    if (is_ != nullptr) is_->destroy(place());
    if (outside_ != nullptr) ::operator delete(outside_, std::align_val_t{align_});
  }
  void* place() noexcept { return outside_ != nullptr ? outside_ : inside_; }
  void holds(const value_operations& is) noexcept { is_ = &is; }

 private:
  alignas(std::max_align_t) std::byte inside_[256];
  void* outside_ = nullptr;
  std::size_t align_;
  const value_operations* is_ = nullptr;
};

started_child wrong_extra(const child_class& what, const value_operations* wanted, const any_value& given) {
  std::string text = "bad_child_spec: a child of class " + std::string(what.name) + " takes ";
  text += wanted != nullptr ? std::string(wanted->type) : std::string("nothing");
  text += " besides its own arguments, and was given ";
  text += given ? std::string(given.type()) : std::string("nothing");
  return started_child::failure(exit_reason(text));
}

bool fits(const value_operations* wanted, const any_value& given) noexcept {
  return wanted == nullptr ? !given : given && given.operations()->key == wanted->key;
}

started_child guarded_start(const child_class& what, const child_spec& spec, void* given) {
  try {
    return what.start(what, spec, given);
  } catch (...) {
    return caught_start();
  }
}

}  // namespace

started_child start_child(const child_spec& spec, const any_value& before, const any_value& after) {
  if (!spec.start || !spec.start.arguments()) return started_child::failure(exit_reason("no_start: the spec of \"" + spec.id + "\" has lost its arguments"));
  const child_class& what = newest(*spec.start.what());
  if (!fits(what.before, before)) return wrong_extra(what, what.before, before);
  if (!fits(what.after, after)) return wrong_extra(what, what.after, after);
  try {
    const value_operations& is = what.joined != nullptr ? *what.joined : *what.arguments;
    argument_room room(is.size, is.align);
    if (what.joined != nullptr) what.join(room.place(), before.address(), spec.start.arguments().address(), after.address());
    else is.copy_to(room.place(), spec.start.arguments().address());
    room.holds(is);
    return what.start(what, spec, room.place());
  } catch (...) {
    return caught_start();
  }
}

started_child start_child_once(child_spec& spec) {
  const child_class* what = spec.start.what();
  if (what == nullptr || newest(*what).joined != nullptr || !spec.start.arguments()) return start_child(spec);
  any_value arguments = spec.start.arguments_for_good();
  return guarded_start(newest(*what), spec, arguments.address());
}

child_spec make_child_spec(const child_class& what, const child_options& said, const child_options& of_class, any_value arguments,
                           const child_options& by_kind) {
  const auto pick = [&](auto field, auto fallback) {
    if (said.*field) return *(said.*field);
    if (of_class.*field) return *(of_class.*field);
    return (by_kind.*field).value_or(fallback);
  };
  child_spec spec;
  spec.start = child_start(what, std::move(arguments));
  spec.name = owned_name(said.name ? said.name : of_class.name);
  const std::string_view id = !said.id.empty() ? said.id : of_class.id;
  if (!id.empty()) spec.id = id;
  else if (spec.name && spec.name.view().form() != name_view::kind::via) spec.id = spec.name.view().text();
  else if (spec.name) spec.id = to_text(spec.name);
  else if (what.behaviour != "function") spec.id = what.name;
  spec.restart = pick(&child_options::restart, permanent);
  spec.type = pick(&child_options::type, child_type::worker);
  spec.shutdown = pick(&child_options::shutdown, spec.type == child_type::supervisor ? shutdown_time(infinity) : shutdown_time(5s));
  spec.significant = pick(&child_options::significant, false);
  spec.start_timeout = pick(&child_options::start_timeout, infinity);
  spec.back_off = pick(&child_options::back_off, back_off{});
  if (said.limit || of_class.limit || by_kind.limit) spec.limit = pick(&child_options::limit, restart_limit{});
  spec.label = !said.label.empty() ? said.label : of_class.label;
  spec.where = said.where;
  return spec;
}

}  // namespace detail

std::string to_text(const shutdown_time& time) {
  if (time.is_brutal_kill()) return "brutal_kill";
  if (time.wait() == infinity) return "infinity";
  return duration_text(time.wait().count());
}

std::string to_text(const child_spec& spec) {
  text_sink out;
  out.put(spec.start ? spec.start.name() : std::string_view("(no start)"));
  if (spec.id != spec.start.name()) {
    out.put(" \"");
    out.put(spec.id);
    out.put("\"");
  }
  out.put(" (");
  out.put(text_of(spec.restart));
  out.put(", shutdown ");
  out.put(to_text(spec.shutdown));
  if (spec.type == child_type::supervisor) out.put(", supervisor");
  if (spec.significant) out.put(", significant");
  if (spec.name && to_text(spec.name) != '"' + spec.id + '"') {
    out.put(", named ");
    out.put(to_text(spec.name));
  }
  if (spec.start_timeout != infinity) {
    out.put(", start timeout ");
    out.put_duration(spec.start_timeout.count());
  }
  if (spec.back_off.min != duration{0}) {
    out.put(", back-off from ");
    out.put_duration(spec.back_off.min.count());
    out.put(" to ");
    out.put_duration(spec.back_off.max.count());
  }
  if (spec.limit) {
    out.put(", at most ");
    out.put_integer(std::uint64_t{spec.limit->restarts});
    out.put(" restarts in ");
    out.put_duration(spec.limit->period.count());
  }
  out.put(")");
  if (spec.start.arguments()) {
    out.put(" from ");
    print(out, spec.start.arguments());
  }
  return out.take();
}

std::string problem_of(const child_spec& spec) {
  const auto of = [&](std::string what) { return "child " + (spec.id.empty() ? std::string("without an id") : '"' + spec.id + '"') + ": " + what; };
  if (spec.id.empty()) return of("id is missing");
  if (!spec.start) return of("start is missing");
  if (spec.restart > temporary) return of("restart is invalid: " + std::to_string(static_cast<int>(spec.restart)));
  if (spec.type > child_type::supervisor) return of("type is invalid: " + std::to_string(static_cast<int>(spec.type)));
  if (spec.where > child_place::in_process) return of("where is invalid: " + std::to_string(static_cast<int>(spec.where)));
  if (!spec.shutdown.is_brutal_kill() && spec.shutdown.wait() < duration{0})
    return of("shutdown is negative: " + duration_text(spec.shutdown.wait().count()));
  if (spec.start_timeout < duration{0}) return of("start_timeout is negative: " + duration_text(spec.start_timeout.count()));
  if (spec.significant && spec.restart == permanent) return of("significant is true, but restart is permanent: such a child never stays away");
  const back_off& b = spec.back_off;
  if (b.min < duration{0}) return of("back_off.min is negative: " + duration_text(b.min.count()));
  if (b.max < b.min) return of("back_off.max is " + duration_text(b.max.count()) + ", less than back_off.min, " + duration_text(b.min.count()));
  if (!(b.factor >= 1)) return of("back_off.factor is " + text_of(b.factor) + ", less than 1");
  if (!(b.jitter >= 0 && b.jitter <= 1)) return of("back_off.jitter is " + text_of(b.jitter) + ", not from 0 to 1");
  if (spec.limit && spec.limit->period <= duration{0}) return of("limit.period is not positive: " + duration_text(spec.limit->period.count()));
  return {};
}

}  // namespace coppice
