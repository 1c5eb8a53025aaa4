// SPDX-License-Identifier: Apache-2.0
//
// fwd: forward declarations of the public types, for headers that only name them. Includes nothing of the library.
#pragma once

#include <cstdint>

namespace coppice {

// base
template <class T, class E>
class result;
template <class T>
class secret;
struct report;
struct log_sink;
class text_sink;

// process
class pid;
class reference;
class exit_reason;
class exit_error;
class message;
struct message_descriptor;
class name_view;
class runtime;
struct runtime_options;
struct spawn_options;
struct monitored;
struct alias_ref;
struct down;
struct exit_signal;
struct timeout;
struct process_information;
enum class priority : std::uint8_t;
enum class when_full : std::uint8_t;

// otp
template <class S>
class server_ref;
template <class S>
class named;
template <class... M>
struct messages;
template <class R>
class from;
template <class T, class... X>
class outcome;
template <class... X>
class init_outcome;
template <class M>
class batch;
struct server_options;
struct start_options;
struct stop_options;
struct call_options;
class call_error;
class start_error;

}  // namespace coppice
