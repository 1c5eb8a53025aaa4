// SPDX-License-Identifier: Apache-2.0
//
// channel_routes: what the switchboard answers.
//
//     POST   /channels             201 {"channel":1}, 503 when none is left. A lease that ends by itself: ?ttl=5s (ms, s, min, h)
//                                  or the body {"ttl_ms":5000}
//     DELETE /channels/:number     204; 409 when it is not taken, 404 when there is no such channel
//     GET    /channels             200 {"free":[…],"taken":[…]}
//     GET    /healthz              200
//
// Whatever goes wrong is told as {"error":"…"}.
#pragma once

#include <coppice/app/router.hpp>
#include <coppice/base/time.hpp>

#include <optional>
#include <string_view>

namespace switchboard {

coppice::router channel_routes();

/// `500ms`, `5s`, `2min`, `1h`: above zero, at most 30 days.
std::optional<coppice::duration> parse_time_to_live(std::string_view text);

}  // namespace switchboard
