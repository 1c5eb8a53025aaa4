// SPDX-License-Identifier: Apache-2.0
//
// http_writer: a response as bytes. Beast's serializer costs half a microsecond a response; this is an append of text.
//
// Thread: any.
#pragma once

#include <coppice/app/http_message.hpp>

#include <string>

namespace coppice::internal {

struct answer_form {
  bool head_only = false;   // the request was HEAD: the body is counted and left out
  bool close = false;       // this is the last answer of the connection
  bool old_client = false;  // HTTP/1.0: keeping the connection open must be said
};

/// Appends `r` to `out`. False: it cannot be sent as it is (a line break in a header, no proper status).
bool append_response(std::string& out, const http_response& r, const answer_form& form);

/// The Date line's text, made anew once a second.
void append_date(std::string& out);

}  // namespace coppice::internal
