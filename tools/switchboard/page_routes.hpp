// SPDX-License-Identifier: Apache-2.0
//
// page_routes: the page at `/`, which shows the channels live, and what it is made of; and `/openapi.json`. The files are in page/ and become
// a part of the program.
#pragma once

#include <coppice/app/router.hpp>

namespace switchboard {

coppice::route_group page_routes();

}  // namespace switchboard
