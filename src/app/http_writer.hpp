// SPDX-License-Identifier: Apache-2.0
//
// http_writer: a response as bytes. Beast's serializer costs half a microsecond a response; this is an append of text.
//
// Thread: any.
#pragma once

#include <coppice/app/http_message.hpp>

#include <cstdint>
#include <string>

namespace coppice::internal {

struct answer_form {
  bool head_only = false;   // the request was HEAD: the body is counted and left out
  bool close = false;       // this is the last answer of the connection
  bool old_client = false;  // HTTP/1.0: keeping the connection open must be said
};

/// Whether `r` can be sent as it is: no line break in a header, a proper status.
bool is_proper(const http_response& r) noexcept;
/// Whether an answer of this status has no body, whatever its handler says.
constexpr bool is_bodiless(int status) noexcept { return status == 204 || status == 304; }
/// Whether its handler wants the connection to end behind it.
bool asks_to_close(const http_response& r) noexcept;
/// The head of the answer and the empty line behind it. A stream without a length comes in chunks; in the old form, up to the end
/// of the connection.
/// `now`, here and below: on the monotonic clock, for the date.
void append_head(std::string& out, const http_response& r, const answer_form& form, std::int64_t now);
/// Appends `r`, whose body is no stream or left out, to `out`. False: it is not proper.
bool append_response(std::string& out, const http_response& r, const answer_form& form, std::int64_t now);

/// The Date line's text, which each thread makes anew once a second.
void append_date(std::string& out, std::int64_t now);

}  // namespace coppice::internal
