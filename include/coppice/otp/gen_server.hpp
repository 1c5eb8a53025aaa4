// SPDX-License-Identifier: Apache-2.0
//
// gen_server: a generic server: a plain struct whose members are its state and whose overloads are its behaviour.
//
//     struct counter {
//       struct add { using reply = int; int by; };            // a request names its reply
//       int total = 0;
//       int handle_call(add a) { return total += a.by; }      // a plain value is the reply
//     };
//     auto c = start<counter>();
//     call(c, counter::add{2});
//
// The callbacks, all optional: init(arguments…), handle_call(request[, from<reply>]), handle_cast(message),
// handle_info(message), handle_continue(x), terminate(const exit_reason&), format_status(server_status&) const,
// code_change(std::string_view old_version, const Extra&); and the constants `options`, `protocol`. What they may return
// stands in outcome.hpp. One callback runs at a time; messages are handled in mailbox order.
//
// What a handler must not do: throw away the unwinding of its own end (catch (...) without rethrow; it is thrown again at
// the next wait), or keep a thread-local's address over a call. A missing handle_info gets a line in the log; a missing
// handle_call or handle_cast does not compile.
#pragma once

#include <coppice/otp/call.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/outcome.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/otp/start.hpp>
