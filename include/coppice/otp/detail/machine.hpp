// SPDX-License-Identifier: Apache-2.0
//
// machine: what gen_statem adds to the templates of the servers: how an event finds the handler of the state that the machine
// is in, what the handler's result means, and the checks. The order of everything (SE-10) is in the compiled core,
// src/otp/gen_statem_core.cpp; the steps of one turn are machine_turn's functions, in the order in which they are called.
#pragma once

#include <coppice/base/any_value.hpp>
#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/next.hpp>

namespace coppice {

/// What a machine is at one moment: its data, which is the machine's own struct, and the state it is in. What
/// `sys::get_state(machine)` returns.   Spec: SE-44.
template <class M>
struct machine_state {
  template <class L>
  struct variant_of;
  template <class... S>
  struct variant_of<states<S...>> { using type = std::variant<S...>; };

  M data;
  typename variant_of<typename M::all>::type state;

  /// The state as an `S`, or null if the machine is in another one.
  template <class S>
  const S* in() const noexcept { return std::get_if<S>(&state); }
};

/// `locked{typed: "12"} of door{code: "1234"}`.
template <class M>
std::string to_text(const machine_state<M>& m) {
  text_sink out;
  print(out, m.state);
  out.put(" of ");
  print(out, m.data);
  return out.take();
}

namespace detail {

/// The compiled half of every machine.
extern const behaviour gen_statem_behaviour;

struct machine_table : gen_server_table {
  trampoline on_state_timeout;
  trampoline on_event_timeout;
  trampoline on_named_timeout;
  handled_test handles_state_timeout;
  handled_test handles_event_timeout;
};

/// One event on its way through a handler and what follows. On the stack of the trampoline.
struct machine_turn {
  /// The event has begun: an event timeout is cancelled.
  explicit machine_turn(handler_frame& frame);
  machine_turn(const machine_turn&) = delete;
  ~machine_turn();
  /// The handler takes the caller as a `from`. Dropped by the handler, the from says so to the turn: it may be postponed.
  reply_ticket lend();
  /// The handler has returned: what it dropped, or still owes, is settled; a postponed event is kept.
  void returned(const message_descriptor& type, void* event, trampoline run);
  /// Before the state is replaced.
  void leave_state();
  /// Executes `actions`. False: one of them is not possible here, and the machine ends.
  bool act(void* state, action_list& actions);
  /// Inserted events, postponed ones, zero timeouts: what is to come before the mailbox is in line.
  void done();

  handler_frame& frame;
  reply_ticket lent{};
  action_list actions;
  node* inserted_first = nullptr;              // next_event: in order
  node* inserted_last = nullptr;
  bool dropped = false;                        // the lent from is gone, unanswered
  bool changed = false;                        // the state
  bool entering = false;                       // enter runs, or has run: reports say so
  int unwinding;                               // exceptions under way when the turn began
  unsigned handlers;                           // which set of them is in force
};

/// Nodes for events that the machine gives itself.
open_node new_machine_event(const message_descriptor& type, trampoline run);
open_node new_machine_call(const message_descriptor& type, trampoline run, const reply_ticket& caller);
[[nodiscard]] exit_reason bad_machine_action(std::string_view text);

// --- handlers --------------------------------------------------------------------------------------------------------

template <class L>
inline constexpr unsigned length_of = 0;
template <template <class...> class L, class... T>
inline constexpr unsigned length_of<L<T...>> = sizeof...(T);

template <class M>
struct sets_of { using type = handler_sets<>; };
template <class M>
  requires requires { typename M::handlers; }
struct sets_of<M> { using type = typename M::handlers; };

/// M handles event E in state S: by itself, or set H does it for M.
template <class M, class S, class... E>
concept handles_event = requires(M& m, S& s, E&&... e) { m.handle(s, static_cast<E&&>(e)...); };
template <class H, class M, class S, class... E>
concept set_handles_event = requires(H& h, M& m, S& s, E&&... e) { h.handle(m, s, static_cast<E&&>(e)...); };
template <class M, class H, class S, class... E>
concept handles_in = (std::is_same_v<M, H> && handles_event<M, S, E...>) || (!std::is_same_v<M, H> && set_handles_event<H, M, S, E...>);

template <class M, class H, class S, class... E>
decltype(auto) run_handle(M& m, S& s, E&&... e) {
  if constexpr (std::is_same_v<M, H>) return m.handle(s, static_cast<E&&>(e)...);
  else return H{}.handle(m, s, static_cast<E&&>(e)...);
}
template <class M, class H, class S, class... E>
using handle_result = decltype(run_handle<M, H>(std::declval<M&>(), std::declval<S&>(), std::declval<E>()...));

/// A result that may postpone the event: so the handler must leave it intact.
template <class F>
inline constexpr bool can_postpone = std::is_same_v<F, postpone_word>;
template <class... T>
inline constexpr bool can_postpone<next<T...>> = true;
template <class R, class... T>
inline constexpr bool can_postpone<replies<R, T...>> = true;

/// How an event is handed over: moved, where it cannot come back; else as const, which a by-value parameter copies.
enum class handed : unsigned char { not_at_all, moved, kept, lent, lost };
template <class M, class H, class S, class E, class... X>
consteval handed how_handed() {
  constexpr bool by_value = handles_in<M, H, S, E, X...>;
  if constexpr (by_value) {
    if constexpr (!can_postpone<handle_result<M, H, S, E, X...>>) return handed::moved;
    else if constexpr (handles_in<M, H, S, const E&, X...>) return handed::kept;
    else if constexpr (handles_in<M, H, S, E&, X...>) return handed::lent;
    else return handed::lost;
  } else if constexpr (handles_in<M, H, S, const E&, X...>) {
    return handed::kept;
  } else if constexpr (handles_in<M, H, S, E&, X...>) {
    return handed::lent;
  } else {
    return handed::not_at_all;
  }
}
template <class E, handed How>
using handed_as = std::conditional_t<How == handed::kept, const E&, std::conditional_t<How == handed::lent, E&, E>>;

template <class M, class H, class S, class Q>
consteval bool call_with_from() {
  if constexpr (names_its_reply<Q>) return how_handed<M, H, S, Q, from<reply_of<Q>>>() != handed::not_at_all;
  else return false;
}

/// The result of the handler for event E, a request or not.
template <class M, class H, class S, class E>
struct result_for {
  static constexpr handed how = how_handed<M, H, S, E>();
  using type = handle_result<M, H, S, handed_as<E, how>>;
};
template <class M, class H, class S, class E>
  requires(call_with_from<M, H, S, E>())
struct result_for<M, H, S, E> {
  static constexpr handed how = how_handed<M, H, S, E, from<reply_of<E>>>();
  using type = handle_result<M, H, S, handed_as<E, how>, from<reply_of<E>>>;
};

template <class F>
inline constexpr bool is_next = false;
template <class... T>
inline constexpr bool is_next<next<T...>> = true;
template <class F>
inline constexpr bool is_replies = false;
template <class R, class... T>
inline constexpr bool is_replies<replies<R, T...>> = true;

template <class V, class L>
inline constexpr bool in_states = false;
template <class V, class... S>
inline constexpr bool in_states<V, states<S...>> = (std::is_same_v<V, S> || ...);

/// What a handler of an event may return: nothing, a state, keep, repeat, postpone, stop(...), next<...>, an action.
template <class M, class F>
inline constexpr bool fits_event = std::is_void_v<F> || in_states<F, typename M::all> || is_way<F> || is_next<F> || is_step<F>;

/// … and of a call without `from`: its reply, reply(v), replies<R, …>, postpone, stop(...).
template <class F, class R>
inline constexpr bool fits_call = std::is_void_v<F> ? std::is_void_v<R> : (!std::is_void_v<R> && !is_form<F> && !is_way<F> && !is_next<F> && !is_step<F> && !is_replies<F> && std::is_convertible_v<F, stored<R>>);
template <class R>
inline constexpr bool fits_call<postpone_word, R> = true;
template <class R>
inline constexpr bool fits_call<stop_form, R> = true;
template <class T, class R>
inline constexpr bool fits_call<reply_form<T, no_action>, R> = std::is_convertible_v<T, stored<R>>;
template <class T, class R>
inline constexpr bool fits_call<stop_reply_form<T>, R> = std::is_convertible_v<T, stored<R>>;
template <class T, class... S, class R>
inline constexpr bool fits_call<replies<T, S...>, R> = std::is_void_v<T> == std::is_void_v<R> && std::is_convertible_v<stored<T>, stored<R>>;

/// Where a result may lead.
template <class M, class F>
struct targets_of { using type = states<>; };
template <class M, class F>
  requires in_states<F, typename M::all>
struct targets_of<M, F> { using type = states<F>; };
template <class M, class... T>
struct targets_of<M, next<T...>> { using type = states<T...>; };
template <class M, class R, class... T>
struct targets_of<M, replies<R, T...>> { using type = states<T...>; };

template <class T, class L>
inline constexpr bool all_in_states = true;
template <class... T, class L>
inline constexpr bool all_in_states<states<T...>, L> = (in_states<T, L> && ...);

// --- checks ----------------------------------------------------------------------------------------------------------

template <class M, class S, class F>
concept goes_to_its_states = all_in_states<typename targets_of<M, F>::type, typename M::all>;
template <class M, class S, class E>
concept event_is_kept_intact = result_for<M, M, S, E>::how != handed::lost;
template <class M, class S, class E, class F>
concept event_result_fits = fits_event<M, F>;
template <class M, class S, class Q, class F>
concept call_result_fits = fits_call<F, reply_of<Q>>;

/// Edges that a machine allows: `using allowed = transitions<edge<locked, open>, …>`.
template <class M>
concept has_allowed = requires { typename M::allowed; };
template <class M, class S, class L>
inline constexpr bool all_allowed = true;
template <class M, class S, class... T>
inline constexpr bool all_allowed<M, S, states<T...>> = ((std::is_same_v<S, T> || M::allowed::template has<S, T>) && ...);
template <class M, class S, class F>
concept transition_is_allowed = !has_allowed<M> || all_allowed<M, S, typename targets_of<M, F>::type>;

template <class M, class H, class S, class E>
consteval bool is_handled() {
  if constexpr (call_with_from<M, H, S, E>()) return true;
  else return how_handed<M, H, S, E>() != handed::not_at_all;
}

/// What is wrong with one handler.
enum class pair_problem : unsigned char { none, missing, moved, result, answer, foreign, not_allowed };

template <class M, class H, class S, class E>
consteval pair_problem problem_at() {
  if constexpr (!is_handled<M, H, S, E>()) {
    return pair_problem::missing;
  } else if constexpr (result_for<M, H, S, E>::how == handed::lost) {
    return pair_problem::moved;
  } else {
    using F = typename result_for<M, H, S, E>::type;
    constexpr bool answers_itself = names_its_reply<E> && !call_with_from<M, H, S, E>();
    if constexpr (answers_itself && !call_result_fits<M, S, E, F>) return pair_problem::answer;
    else if constexpr (!answers_itself && !event_result_fits<M, S, E, F>) return pair_problem::result;
    else if constexpr (!goes_to_its_states<M, S, F>) return pair_problem::foreign;
    else return transition_is_allowed<M, S, F> ? pair_problem::none : pair_problem::not_allowed;
  }
}

/// The first handler with a problem: its set, its state. `S` is void where all is well.
template <class H_, class S_, pair_problem P>
struct found_problem {
  using H = H_;
  using S = S_;
  static constexpr pair_problem what = P;
};
template <class M, class E, class H, class... S>
consteval auto problem_in_set(states<S...>) {
  constexpr pair_problem all[] = {problem_at<M, H, S, E>()...};
  constexpr std::size_t at = [&] {
    std::size_t i = 0;
    while (i < sizeof...(S) && all[i] == pair_problem::none) ++i;
    return i;
  }();
  if constexpr (at == sizeof...(S)) return found_problem<void, void, pair_problem::none>{};
  else return found_problem<H, std::variant_alternative_t<at, std::variant<S...>>, all[at]>{};
}
template <class M, class E, class H, class... More>
consteval auto problem_in_sets() {
  using found = decltype(problem_in_set<M, E, H>(typename M::all{}));
  if constexpr (found::what != pair_problem::none || sizeof...(More) == 0) return found{};
  else return problem_in_sets<M, E, More...>();
}
template <class M, class E, class L>
struct problem_finder;
template <class M, class E, class... H>
struct problem_finder<M, E, handler_sets<H...>> { using type = decltype(problem_in_sets<M, E, M, H...>()); };
template <class M, class E>
  requires is_machine<M>
struct wrong_handler<M, E> : problem_finder<M, E, typename sets_of<M>::type> {};
template <class M, class E>
using problem_of_event = typename wrong_handler<M, E>::type;

template <class M, class S, class E>
using result_of_handler = typename result_for<M, M, S, E>::type;

template <class M, class E, class... S>
consteval bool somewhere(states<S...>) { return (is_handled<M, M, S, E>() || ...); }
template <class M, class E>
concept handled_somewhere = somewhere<M, E>(typename M::all{});

// --- one event -------------------------------------------------------------------------------------------------------

/// `visit(set tag, state&)` for the handlers in force and the state that the machine is in. One switch over both.
template <class H>
struct set_tag { using type = H; };
template <class M, class F, class... H, class... S>
void with_state(machine_state<M>& m, unsigned handlers, F&& visit, handler_sets<H...>, states<S...>) {
  const std::size_t at = m.state.index();
  const auto in_set = [&]<class Set>(set_tag<Set> set) {
    std::size_t i = 0;
    (void)((i++ == at && (visit(set, *std::get_if<S>(&m.state)), true)) || ...);
  };
  if constexpr (sizeof...(H) == 0) {
    in_set(set_tag<M>{});
  } else {
    unsigned n = 1;
    if (handlers == 0) in_set(set_tag<M>{});
    else (void)((n++ == handlers && (in_set(set_tag<H>{}), true)) || ...);
  }
}
template <class M, class F>
void with_state(machine_state<M>& m, unsigned handlers, F&& visit) {
  with_state<M>(m, handlers, std::forward<F>(visit), typename sets_of<M>::type{}, typename M::all{});
}

// --- entering --------------------------------------------------------------------------------------------------------

template <class M, class H, class S, class... P>
concept enters = (std::is_same_v<M, H> && requires(M& m, S& s, const P&... p) { m.enter(s, p...); }) ||
                 (!std::is_same_v<M, H> && requires(H& h, M& m, S& s, const P&... p) { h.enter(m, s, p...); });
template <class M, class H, class S, class... P>
decltype(auto) run_enter(M& m, S& s, const P&... previous) {
  if constexpr (std::is_same_v<M, H>) return m.enter(s, previous...);
  else return H{}.enter(m, s, previous...);
}

template <class F>
inline constexpr bool fits_enter = std::is_void_v<F> || is_timer_step<F> || std::is_same_v<F, machine_step> || std::is_same_v<F, hibernate_action> ||
                                   std::is_same_v<F, entered> || std::is_same_v<F, stop_form> || std::is_same_v<F, keep_word>;
template <class M, class H, class S, class... P>
bool enter_with(machine_turn& turn, machine_state<M>& m, S& s, const P&... previous) {
  using F = decltype(run_enter<M, H>(m.data, s, previous...));
  turn.entering = true;
  if constexpr (std::is_void_v<F>) {
    run_enter<M, H>(m.data, s, previous...);
  } else if constexpr (std::is_same_v<F, keep_word>) {
    (void)run_enter<M, H>(m.data, s, previous...);
  } else if constexpr (std::is_same_v<F, stop_form>) {
    stop_with(turn.frame, std::move(run_enter<M, H>(m.data, s, previous...).reason));
    return false;
  } else {
    entered said(run_enter<M, H>(m.data, s, previous...));
    if (said.ends()) {
      stop_with(turn.frame, std::move(said.reason()));
      return false;
    }
    return turn.act(&m, said.actions());
  }
  return true;
}

/// The state-enter call, if there is one for the pair, or for the state. False: the machine ends.
template <class M, class H, class S, class P>
bool enter_state(machine_turn& turn, machine_state<M>& m, S& s, const P& previous) {
  if constexpr (enters<M, H, S, P>) return enter_with<M, H>(turn, m, s, previous);
  else if constexpr (enters<M, H, S>) return enter_with<M, H>(turn, m, s);
  else return true;
}

// --- what a result means ---------------------------------------------------------------------------------------------

template <class M, class H, class S, class P>
constexpr bool wants_previous = enters<M, H, S, P>;

/// The actions that came with a result that stays where it is.
template <class M>
void stay(machine_turn& turn, machine_state<M>& m) {
  if (turn.act(&m, turn.actions)) turn.done();
}

/// After the actions: enter, by the handlers that are in force now.
template <class M, class T, class P>
void enter_now(machine_turn& turn, machine_state<M>& m, T& now, const P& previous) {
  if (!turn.act(&m, turn.actions)) return;
  bool goes_on = true;
  with_state(m, turn.handlers, [&]<class H, class X>(set_tag<H>, X&) {
    if constexpr (std::is_same_v<X, T>) goes_on = enter_state<M, H>(turn, m, now, previous);
  });
  if (goes_on) turn.done();
}

/// SE-4: another type, or another value, is another state.
template <class M, class S, class T>
void change_state(machine_turn& turn, machine_state<M>& m, S& old, T& target) {
  if constexpr (std::is_same_v<S, T>) {
    if (values_equal(old, target)) return stay(turn, m);
  }
  turn.leave_state();
  if constexpr (requires(M& x, T& t, const S& s) { x.enter(t, s); } || length_of<typename sets_of<M>::type> != 0) {
    const S previous(std::move(old));
    T& now = m.state.template emplace<T>(std::move(target));
    enter_now(turn, m, now, previous);
  } else {
    T& now = m.state.template emplace<T>(std::move(target));
    enter_now(turn, m, now, keep);
  }
}

template <class M, class S>
void enter_again(machine_turn& turn, machine_state<M>& m, S& s) {
  turn.leave_state();
  enter_now(turn, m, s, s);
}

template <class M, class S, class... T>
void follow_next(machine_turn& turn, machine_state<M>& m, S& s, next<T...>& n) {
  switch (n.way()) {
    case go::stay: return stay(turn, m);
    case go::again: return enter_again(turn, m, s);
    case go::end: return stop_with(turn.frame, std::move(n.reason()));
    case go::enter: break;
  }
  [[maybe_unused]] const auto try_target = [&]<class X>(X* target) {
    if (target == nullptr) return false;
    change_state<M>(turn, m, s, *target);
    return true;
  };
  (void)(try_target(n.template target<T>()) || ...);
}

/// The actions of a result, before the event may be moved to where postponed ones wait.
template <class M, class... T>
void take_actions(machine_turn& turn, next<T...>& n) { turn.actions.append(std::move(n.actions())); }

// --- the trampolines -------------------------------------------------------------------------------------------------

/// What is the same for all events: runs `handler`, whose result answers nobody, for one state.
template <class M, class S, class E, class F>
void run_and_follow(machine_turn& turn, machine_state<M>& m, S& s, E& event, trampoline run, F&& run_user) {
  using result = decltype(run_user());
  const auto returned = [&] { turn.returned(descriptor_of<E>(), &event, run); };
  if constexpr (std::is_void_v<result>) {
    run_user();
    returned();
    stay(turn, m);
  } else if constexpr (is_next<result>) {
    result n = run_user();
    take_actions<M>(turn, n);
    returned();
    follow_next(turn, m, s, n);
  } else if constexpr (std::is_same_v<result, stop_form>) {
    result form = run_user();
    returned();
    stop_with(turn.frame, std::move(form.reason));
  } else if constexpr (in_states<result, typename M::all>) {
    result target = run_user();
    returned();
    change_state<M>(turn, m, s, target);
  } else if constexpr (std::is_same_v<result, keep_word>) {
    (void)run_user();
    returned();
    stay(turn, m);
  } else if constexpr (std::is_same_v<result, repeat_word>) {
    (void)run_user();
    returned();
    enter_again(turn, m, s);
  } else {
    add_step(turn.actions, run_user());
    returned();
    stay(turn, m);
  }
}

template <class M, class E>
void run_event(handler_frame& frame) noexcept;

/// A handler that is not there for this event in this state: only timeouts get so far, and they are checked when they are set.
inline void no_handler(machine_turn& turn) {
  stop_with(turn.frame, bad_machine_action("an event that the state does not handle"));
}

template <class M, class E>
void run_event(handler_frame& frame) noexcept {
  E event(std::move(*static_cast<E*>(frame.request)));
  auto& m = *static_cast<machine_state<M>*>(frame.state);
  bool intact = false;
  try {
    machine_turn turn(frame);
    with_state(m, turn.handlers, [&]<class H, class S>(set_tag<H>, S& s) {
      constexpr handed how = how_handed<M, H, S, E>();
      if constexpr (how == handed::not_at_all || how == handed::lost) {
        no_handler(turn);
      } else {
        intact = how == handed::kept;
        run_and_follow(turn, m, s, event, &run_event<M, E>,
                       [&]() -> decltype(auto) { return run_handle<M, H>(m.data, s, static_cast<handed_as<E, how>&&>(event)); });
      }
    });
  } catch (...) {
    callback_failed(frame);
    note_request(frame, descriptor_of<E>(), intact || std::is_trivially_copyable_v<E> ? &event : nullptr);
  }
}

/// handle(state&, message&): the object stays where it is, the core destroys it afterwards.
template <class M>
void run_any(handler_frame& frame) noexcept {
  auto& m = *static_cast<machine_state<M>*>(frame.state);
  message event(*frame.type, frame.request);
  try {
    machine_turn turn(frame);
    with_state(m, turn.handlers, [&]<class H, class S>(set_tag<H>, S& s) {
      if constexpr (handles_in<M, H, S, message&>) {
        using result = decltype(run_handle<M, H>(m.data, s, event));
        static_assert(!!event_result_fits<M, S, message, result>, "coppice: a handler of an event returns nothing, next<states...>, one of the machine's states, keep, repeat, postpone, stop(...) or one action.");
        if constexpr (is_next<result>) {
          result n = run_handle<M, H>(m.data, s, event);
          take_actions<M>(turn, n);
          turn.returned(*frame.type, frame.request, nullptr);
          follow_next(turn, m, s, n);
        } else {
          run_and_follow(turn, m, s, event, nullptr, [&]() -> decltype(auto) { return run_handle<M, H>(m.data, s, event); });
        }
      } else {
        no_handler(turn);
      }
    });
  } catch (...) {
    callback_failed(frame);
    note_request(frame, *frame.type, nullptr);
  }
}

/// A call whose handler returns the reply.
template <class M, class S, class Q, class F>
void run_and_reply(machine_turn& turn, machine_state<M>& m, S& s, Q& request, trampoline run, F&& run_user) {
  using R = reply_of<Q>;
  using result = decltype(run_user());
  handler_frame& frame = turn.frame;
  const auto returned = [&] { turn.returned(descriptor_of<Q>(), &request, run); };
  if constexpr (std::is_void_v<result>) {
    run_user();
    give_reply<nothing>(frame, nothing{});
    stay(turn, m);
  } else if constexpr (is_replies<result>) {
    result r = run_user();
    auto& n = r.where();
    take_actions<M>(turn, n);
    if (r.value()) give_reply<stored<R>>(frame, std::move(*r.value()));
    returned();
    follow_next(turn, m, s, n);
  } else if constexpr (std::is_same_v<result, postpone_word>) {
    (void)run_user();
    turn.actions.postponed = true;
    returned();
    stay(turn, m);
  } else if constexpr (std::is_same_v<result, stop_form>) {
    stop_with(frame, std::move(run_user().reason));
  } else if constexpr (is_form<result>) {
    result form = run_user();
    give_reply<stored<R>>(frame, std::move(form.value));
    if constexpr (requires { form.reason; }) stop_with(frame, std::move(form.reason));   // SE-40: the reply is out first
    else stay(turn, m);
  } else {
    give_reply<stored<R>>(frame, run_user());
    stay(turn, m);
  }
}

template <class M, class Q>
void run_machine_call(handler_frame& frame) noexcept {
  using R = reply_of<Q>;
  Q request(std::move(*static_cast<Q*>(frame.request)));
  auto& m = *static_cast<machine_state<M>*>(frame.state);
  bool intact = false;
  try {
    machine_turn turn(frame);
    with_state(m, turn.handlers, [&]<class H, class S>(set_tag<H>, S& s) {
      if constexpr (call_with_from<M, H, S, Q>()) {
        constexpr handed how = how_handed<M, H, S, Q, from<R>>();
        intact = how == handed::kept;
        const reply_ticket ticket = turn.lend();
        run_and_follow(turn, m, s, request, &run_machine_call<M, Q>, [&]() -> decltype(auto) {
          return run_handle<M, H>(m.data, s, static_cast<handed_as<Q, how>&&>(request), from<R>(ticket, frame.self));
        });
      } else {
        constexpr handed how = how_handed<M, H, S, Q>();
        intact = how == handed::kept;
        run_and_reply(turn, m, s, request, &run_machine_call<M, Q>,
                      [&]() -> decltype(auto) { return run_handle<M, H>(m.data, s, static_cast<handed_as<Q, how>&&>(request)); });
      }
    });
  } catch (...) {
    callback_failed(frame);
    note_request(frame, descriptor_of<Q>(), intact || std::is_trivially_copyable_v<Q> ? &request : nullptr);
  }
}

template <class M, class E>
bool handled_now(const void* state, unsigned handlers) noexcept {
  bool handled = false;
  auto& m = *static_cast<machine_state<M>*>(const_cast<void*>(state));
  with_state(m, handlers, [&]<class H, class S>(set_tag<H>, S&) { handled = is_handled<M, H, S, E>(); });
  return handled;
}

template <class M, class S>
concept terminates_in = requires(M& m, const exit_reason& why, S& s) { m.terminate(why, s); };
template <class M, class... S>
consteval bool terminates_anywhere(states<S...>) { return (terminates_in<M, S> || ...); }

template <class M>
void run_machine_terminate(handler_frame& frame) noexcept {
  auto& m = *static_cast<machine_state<M>*>(frame.state);
  const exit_reason why = frame.reason;
  try {
    with_state<M>(m, 0, [&]<class H, class S>(set_tag<H>, S& s) {
      if constexpr (terminates_in<M, S>) m.data.terminate(why, s);
      else if constexpr (has_terminate<M>) m.data.terminate(why);
    });
  } catch (...) {
    callback_failed(frame);
  }
}
template <class M>
bool run_machine_format_status(const void* state, server_status& status) noexcept {
  return run_format_status<M>(&static_cast<const machine_state<M>*>(state)->data, status);
}

// --- init ------------------------------------------------------------------------------------------------------------

template <class F>
inline constexpr bool is_first = false;
template <class... T>
inline constexpr bool is_first<first<T...>> = true;
template <class M, class F>
inline constexpr bool fits_init = std::is_void_v<F> || in_states<F, typename M::all> || is_first<F> || is_next<F> || std::is_same_v<F, ignore_form> ||
                                  std::is_same_v<F, fail_form> || std::is_same_v<F, stop_form>;

template <class L>
struct first_of;
template <class S, class... More>
struct first_of<states<S, More...>> { using type = S; };

template <class M, class... A>
concept machine_init_fits = !made_by_init<M, A...> || fits_init<M, decltype(std::declval<M&>().init(std::declval<A>()...))>;
template <class M>
concept first_state_can_be_made = std::default_initializable<typename first_of<typename M::all>::type>;

/// Runs init; puts the state it names in place. Returns: whether the machine is to begin.
template <class M, class... A>
bool run_user_init(handler_frame& frame, init_request& request, machine_state<M>& m, machine_turn& turn, A&... a) {
  using F = decltype(m.data.init(std::move(a)...));
  const auto begin_in = [&]<class... T>(next<T...>& n) {
    turn.actions.append(std::move(n.actions()));
    (void)((n.template target<T>() != nullptr && (m.state.template emplace<T>(std::move(*n.template target<T>())), true)) || ...);
    if (n.way() != go::end) return;
    request.said = init_request::stop;
    frame.reason = std::move(n.reason());
  };
  if constexpr (std::is_void_v<F>) {
    m.data.init(std::move(a)...);
  } else if constexpr (in_states<F, typename M::all>) {
    m.state.template emplace<F>(m.data.init(std::move(a)...));
  } else if constexpr (is_next<F>) {
    F n = m.data.init(std::move(a)...);
    begin_in(n);
  } else if constexpr (is_first<F>) {
    F form = m.data.init(std::move(a)...);
    request.said = static_cast<init_request::verdict>(form.said());
    if (request.said != init_request::ok) frame.reason = std::move(form.where().reason());
    else begin_in(form.where());
  } else {
    F form = m.data.init(std::move(a)...);
    request.said = std::is_same_v<F, ignore_form> ? init_request::ignore : std::is_same_v<F, fail_form> ? init_request::fail : init_request::stop;
    if constexpr (requires { form.reason; }) frame.reason = std::move(form.reason);
  }
  return request.said == init_request::ok;
}

/// Enters the first state: part of the start, which fails if that does.
template <class M>
void enter_first(handler_frame& frame, init_request& request, machine_state<M>& m, machine_turn& turn) {
  if (!turn.act(&m, turn.actions)) {
    request.said = init_request::stop;
    return;
  }
  with_state(m, turn.handlers, [&]<class H, class S>(set_tag<H>, S& s) {
    if (enter_state<M, H>(turn, m, s, s)) turn.done();
    else request.said = init_request::stop;
  });
  if (frame.then_do == after::stop) request.said = init_request::stop;
}

template <class M, class... A>
void run_machine_init(handler_frame& frame) noexcept {
  auto& request = *static_cast<init_request*>(frame.request);
  try {
    std::tuple<A...> arguments(std::move(*static_cast<std::tuple<A...>*>(request.arguments)));
    using state = machine_state<M>;
    state_guard<state> guard{nullptr};
    machine_turn turn(frame);
    if constexpr (made_by_init<M, A...>) {
      guard.made = ::new (frame.state) state{};
      if (std::apply([&](A&... a) { return run_user_init<M>(frame, request, *guard.made, turn, a...); }, arguments))
        enter_first(frame, request, *guard.made, turn);
    } else {
      guard.made = std::apply([&](A&... a) { return ::new (frame.state) state{M{std::move(a)...}, {}}; }, arguments);
      enter_first(frame, request, *guard.made, turn);
    }
    if (request.said == init_request::ok) guard.made = nullptr;
  } catch (...) {
    callback_failed(frame);
  }
}

// --- the class -------------------------------------------------------------------------------------------------------

template <class S>
concept moves_safely = std::is_nothrow_move_constructible_v<S>;
template <class... S>
consteval bool all_move_safely(states<S...>) { return (moves_safely<S> && ...); }
template <class M>
concept states_move_safely = all_move_safely(typename M::all{});

template <class M, class E, class In>
  requires is_machine<M>
consteval bool check_cast() {
  using problem = In;
  using S = typename problem::S;
  static_assert(!names_its_reply<E>, "coppice: this event is a request, because it says what its reply is: `call` it, or put it in line with next_event(this, from, request).");
  if constexpr (names_its_reply<E> || problem::what == pair_problem::none)
    return !names_its_reply<E>;
  else if constexpr (problem::what == pair_problem::missing && std::is_same_v<typename problem::H, M>)
    static_assert(!!handles_event<M, S, E>, "coppice: the machine has no handle(state&, event) for this event in one of its states (for all states at once: `handle(auto& state, event)`).");
  else if constexpr (problem::what == pair_problem::missing)
    static_assert(!!set_handles_event<typename problem::H, M, S, E>, "coppice: a set of handlers has no handle(machine&, state&, event) for an event that its machine handles.");
  else if constexpr (problem::what == pair_problem::moved)
    static_assert(!!event_is_kept_intact<M, S, E>, "coppice: an event that its handler may postpone must stay intact: take it by const&.");
  else if constexpr (problem::what == pair_problem::result)
    static_assert(!!event_result_fits<M, S, E, result_of_handler<M, S, E>>, "coppice: a handler of an event returns nothing, next<states...>, one of the machine's states, keep, repeat, postpone, stop(...) or one action.");
  else if constexpr (problem::what == pair_problem::foreign)
    static_assert(!!goes_to_its_states<M, S, result_of_handler<M, S, E>>, "coppice: the handler goes to something that is not in the machine's list of states (using all = states<...>).");
  else
    static_assert(!!transition_is_allowed<M, S, result_of_handler<M, S, E>>, "coppice: the handler goes where the machine's table of transitions (using allowed = transitions<...>) does not lead from this state.");
  return false;
}

template <class M, class Q, class In>
  requires is_machine<M>
consteval bool check_call() {
  static_assert(!!names_its_reply<Q>, "coppice: the request does not say what its reply is: add `using reply = T;` (void: an acknowledgement).");
  using problem = In;
  using S = typename problem::S;
  if constexpr (!names_its_reply<Q> || problem::what == pair_problem::none)
    return names_its_reply<Q>;
  else if constexpr (problem::what == pair_problem::missing && std::is_same_v<typename problem::H, M>)
    static_assert(!!handles_event<M, S, Q>, "coppice: the machine has no handle(state&, request) for this request in one of its states (for all states at once: `handle(auto& state, request)`).");
  else if constexpr (problem::what == pair_problem::missing)
    static_assert(!!set_handles_event<typename problem::H, M, S, Q>, "coppice: a set of handlers has no handle(machine&, state&, request) for a request that its machine handles.");
  else if constexpr (problem::what == pair_problem::moved)
    static_assert(!!event_is_kept_intact<M, S, Q>, "coppice: a request that its handler may postpone must stay intact: take it by const&.");
  else if constexpr (problem::what == pair_problem::answer)
    static_assert(!!call_result_fits<M, S, Q, result_of_handler<M, S, Q>>, "coppice: a handler of a call answers: it returns the reply, reply(v), replies<R, states...>, postpone or stop(...); to answer later, take `from`.");
  else if constexpr (problem::what == pair_problem::result)
    static_assert(!!event_result_fits<M, S, Q, result_of_handler<M, S, Q>>, "coppice: a handler that takes `from` answers through it: it returns nothing, next<states...>, one of the machine's states, keep, repeat, postpone, stop(...) or one action.");
  else if constexpr (problem::what == pair_problem::foreign)
    static_assert(!!goes_to_its_states<M, S, result_of_handler<M, S, Q>>, "coppice: the handler goes to something that is not in the machine's list of states (using all = states<...>).");
  else
    static_assert(!!transition_is_allowed<M, S, result_of_handler<M, S, Q>>, "coppice: the handler goes where the machine's table of transitions (using allowed = transitions<...>) does not lead from this state.");
  return false;
}

/// What the library sends may come in any state: who handles it in one handles it in all.
template <class M, class E>
consteval auto problem_of_library_event() {
  if constexpr (handled_somewhere<M, E>) return problem_of_event<M, E>{};
  else return found_problem<void, void, pair_problem::none>{};
}
template <class M, class E, class S>
concept handles_in_every_state = std::is_void_v<S>;

/// The first state whose enter returns what it may not, or sets a timeout that it does not handle.
template <class M, class S>
consteval bool enter_fits() {
  if constexpr (enters<M, M, S>) return fits_enter<decltype(run_enter<M, M>(std::declval<M&>(), std::declval<S&>()))>;
  else return true;
}
template <class M, class S>
consteval bool enter_timeout_fits() {
  if constexpr (enters<M, M, S>) return !std::is_same_v<decltype(run_enter<M, M>(std::declval<M&>(), std::declval<S&>())), state_timeout> || is_handled<M, M, S, state_timeout>();
  else return true;
}
template <class M, class S>
concept enter_stays = enter_fits<M, S>();
template <class M, class S>
concept handles_its_state_timeout = enter_timeout_fits<M, S>();
template <class M, template <class, class> class Fits, class... S>
consteval auto first_misfit(states<S...>) {
  constexpr bool fits[] = {Fits<M, S>::value...};
  constexpr std::size_t at = [&] {
    std::size_t i = 0;
    while (i < sizeof...(S) && fits[i]) ++i;
    return i;
  }();
  if constexpr (at == sizeof...(S)) return set_tag<void>{};
  else return set_tag<std::variant_alternative_t<at, std::variant<S...>>>{};
}
template <class M, class S>
struct enter_fits_in : std::bool_constant<enter_fits<M, S>()> {};
template <class M, class S>
struct enter_timeout_fits_in : std::bool_constant<enter_timeout_fits<M, S>()> {};

template <class M, class... A>
  requires is_machine<M>
consteval bool check_server() {
  using bad_enter = typename decltype(first_misfit<M, enter_fits_in>(typename M::all{}))::type;
  using bad_timeout = typename decltype(first_misfit<M, enter_timeout_fits_in>(typename M::all{}))::type;
  using bad_down = typename decltype(problem_of_library_event<M, down>())::S;
  using bad_exit = typename decltype(problem_of_library_event<M, exit_signal>())::S;
  using bad_named = typename decltype(problem_of_library_event<M, named_timeout>())::S;
  if constexpr (!startable_with<M, A...>)
    static_assert(!!startable_with<M, A...>, "coppice: the machine can not be made from these arguments: no init(arguments) fits, nor does M{arguments}.");
  else if constexpr (!machine_init_fits<M, A...>)
    static_assert(!!machine_init_fits<M, A...>, "coppice: init of a machine returns nothing, one of its states, first<states...>, ignore, fail(why) or stop(why).");
  else if constexpr (!first_state_can_be_made<M>)
    static_assert(!!first_state_can_be_made<M>, "coppice: the first state of a machine must be default-constructible: it is made before init runs.");
  else if constexpr (!states_move_safely<M>)
    static_assert(!!states_move_safely<M>, "coppice: the states of a machine must be movable without exceptions: a change of state cannot fail half-way.");
  else if constexpr (!std::is_void_v<bad_enter>)
    static_assert(!!enter_stays<M, bad_enter>, "coppice: enter returns nothing, an action, entered{actions...} or stop(why): it cannot leave its state, postpone or insert events.");
  else if constexpr (!std::is_void_v<bad_timeout>)
    static_assert(!!handles_its_state_timeout<M, bad_timeout>, "coppice: enter sets a state_timeout in a state that has no handle(state&, state_timeout).");
  else if constexpr (!std::is_void_v<bad_down>)
    static_assert(!!handles_in_every_state<M, down, bad_down>, "coppice: down may come in any state: a machine that has handle(state&, down) for one state needs one that fits for all.");
  else if constexpr (!std::is_void_v<bad_exit>)
    static_assert(!!handles_in_every_state<M, exit_signal, bad_exit>, "coppice: exit_signal may come in any state: a machine that has handle(state&, exit_signal) for one state needs one that fits for all.");
  else if constexpr (!std::is_void_v<bad_named>)
    static_assert(!!handles_in_every_state<M, named_timeout, bad_named>, "coppice: named_timeout may come in any state: a machine that has handle(state&, named_timeout) for one state needs one that fits for all.");
  else
    return true;
  return false;
}

template <class M>
struct machine_class {
  using all = typename M::all;
  static constexpr const behaviour* handles = &gen_statem_behaviour;
  static constexpr const gen_server_table* table();

  template <class Q>
  static constexpr trampoline call = &run_machine_call<M, Q>;
  template <class E>
  static constexpr trampoline event = &run_event<M, E>;
  template <class... A>
  static constexpr trampoline init = &run_machine_init<M, A...>;

  template <class E>
  static constexpr trampoline event_if_handled() {
    if constexpr (handled_somewhere<M, E>) return &run_event<M, E>;
    else return nullptr;
  }
  template <class... S>
  static consteval bool takes_any(states<S...>) { return (handles_event<M, S, message&> || ...); }

  static constexpr machine_table make_table() {
    machine_table t{};
    if constexpr (has_terminate<M> || terminates_anywhere<M>(all{})) t.terminate = &run_machine_terminate<M>;
    t.on_down = event_if_handled<down>();
    t.on_exit_signal = event_if_handled<exit_signal>();
    t.on_timeout = event_if_handled<timeout>();
    if constexpr (takes_any(all{})) t.on_message = &run_any<M>;
    if constexpr (has_format_status<M>) t.format_status = &run_machine_format_status<M>;
    if constexpr (has_protocol<M>) t.protocol = protocol_span<M>(typename M::protocol{});
    t.options = options_of<M>();
    t.on_state_timeout = event_if_handled<state_timeout>();
    t.on_event_timeout = event_if_handled<event_timeout>();
    t.on_named_timeout = event_if_handled<named_timeout>();
    t.handles_state_timeout = &handled_now<M, state_timeout>;
    t.handles_event_timeout = &handled_now<M, event_timeout>;
    return t;
  }
};

template <class M>
inline constexpr machine_table machine_table_constant = machine_class<M>::make_table();
template <class M>
constexpr const gen_server_table* machine_class<M>::table() { return &machine_table_constant<M>; }

}  // namespace detail
}  // namespace coppice
