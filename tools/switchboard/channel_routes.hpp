// SPDX-License-Identifier: Apache-2.0
//
// channel_routes: what the switchboard answers.
//
//     POST   /channels             201 {"channel":1}, 503 when none is left, 402 when the session owes too much. A
//                                  lease that ends by itself: ?ttl=5s (ms, s, min, h)
//                                  or the body {"ttl_ms":5000}
//     DELETE /channels/:number     204; 409 when it is not taken, 404 when there is no such channel
//     GET    /channels             200 {"free":[…],"taken":[…]}
//     GET    /sessions             200 {"sessions":[{"name":"…","channels":[…]}]}
//     DELETE /sessions             with X-Session: ends it and its leases; 204, 404 when there is none of that name
//     GET    /ledger               200 {"house":…,"anonymous":…,"ended":…,"sessions":[{"name":"…","balance":…}],"total":0}: all of
//                                  one moment; "ended" is what sessions owed that are no more
//     GET    /feed                 a WebSocket on which everything is told that happens (feed_route.hpp)
//     GET    /counters             200 {"GET":{"200":…},"POST":{"201":…,"503":…}}: what was answered so far
//     POST   /crash/:name          an exception in a handler of ch3, lease_book, ledger, feed, front or, with X-Session, of a session: 202 when it
//                                  has ended and, of a server of the tree, the next one runs; 403 unless --allow-crash
//     POST   /admin/restart        the routes are made anew, no connection is closed: 202; 403 unless --allow-restart
//     GET    /healthz              200 {"status":"ok","generation":…}
//     GET    /readyz               200 when all servers run, else 503
//     GET    /metrics              in Prometheus' text format
//     GET    /                     a page that shows all this live (page_routes.hpp); /openapi.json describes all of it
//
// `X-Session: whatever text` at POST /channels makes the channel that session's: it comes back when the session ends.
//
// Each allocation has its price, which goes from the caller's account to the house's. Sessions may owe up to a limit, the anonymous
// share an account without one. What is paid is paid: giving a channel back early returns nothing.
//
// Pages of other sites get 403 for whatever changes something, and for the feed. Who calls it by another name than localhost, and the one that it
// was told, gets 421.
//
// Whatever goes wrong is told as {"error":"…"}.
#pragma once

#include <coppice/app/router.hpp>
#include <coppice/base/time.hpp>

#include <optional>
#include <string_view>

#include "settings.hpp"

namespace switchboard {

/// `generation`: how many times they were made.
coppice::router channel_routes(const settings& s, int generation);
/// The same with every answer counted.
coppice::http_handler counted_routes(const settings& s, int generation);

/// `500ms`, `5s`, `2min`, `1h`: above zero, at most 30 days.
std::optional<coppice::duration> parse_time_to_live(std::string_view text);

}  // namespace switchboard
