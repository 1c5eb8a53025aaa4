// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room state: for convenience; single headers compile faster.
#pragma once

#include <coppice/state/agent.hpp>
#include <coppice/state/agent_ref.hpp>
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/atom.hpp>
#include <coppice/state/box.hpp>
#include <coppice/state/delay.hpp>
#include <coppice/state/executor.hpp>
#include <coppice/state/future.hpp>
#include <coppice/state/local.hpp>
#include <coppice/state/metadata.hpp>
#include <coppice/state/parallel_map.hpp>
#include <coppice/state/promise.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/reference.hpp>
#include <coppice/state/scoped_value.hpp>
#include <coppice/state/state_error.hpp>
#include <coppice/state/stop_token.hpp>
#include <coppice/state/tap.hpp>
#include <coppice/state/transaction.hpp>
#include <coppice/state/unsynchronized_reference.hpp>
#include <coppice/state/view.hpp>
#include <coppice/state/volatile_reference.hpp>
#include <coppice/state/weak.hpp>
