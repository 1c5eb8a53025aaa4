// SPDX-License-Identifier: Apache-2.0
//
// allowed_hosts: by which names a server may be called. Whoever owns a name may have it mean any address, 127.0.0.1 too, once his page is in
// somebody's browser (DNS rebinding): to the browser, server and page are then of one origin, and `Origin` agrees with `Host`. Only the name
// tells that it is not ours. The same goes for handlers that put the request's host into links.
//
//     const router app{use(refuse_other_hosts()), …};                                // on one's own machine: localhost, 127.0.0.1, [::1]
//     refuse_other_hosts({"example.com", "*.example.com"})                           // everybody else: 421
//
// It stands in front of all that matters, refuse_cross_origin and WebSockets too, which compare what the browser says of the page with the
// name that it has used. A probe that names the server by its address has its route beside the group that has this in front.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>

#include <span>
#include <string>
#include <vector>

namespace coppice {

/// What a browser on the same machine calls it: `localhost`, `*.localhost`, `127.0.0.1`, `[::1]`.
std::vector<std::string> loopback_hosts();

/// Whether the request's Host is one of `allowed`, by any port. A request without one, which HTTP/1.0 may send, is for nobody.
/// `allowed`: `example.com`; `*.example.com`: what is below that, however deep, and not itself; an address as `192.0.2.1` or
///          `[2001:db8::1]`; `*`: all. Case and a dot at the end make no difference.
/// Thread:  any.   Cost: one look-up of a header, and a comparison for each of `allowed`.
bool is_allowed_host(const http_request& request, std::span<const std::string> allowed);

/// A middleware that answers what is_allowed_host does not let through. 421, Misdirected Request, says just that: this server does not speak
/// for that name. 403 would say that the caller lacks a right, and be taken for one of the application's own. A client may try a 421 once more
/// on another connection, where it gets the same.
/// Fails:   std::invalid_argument for a name that is none, and for none at all.
http_middleware refuse_other_hosts(std::vector<std::string> allowed = loopback_hosts(),
                                   http_response answer = plain_answer(421, "it is not called by that name"));

}  // namespace coppice
