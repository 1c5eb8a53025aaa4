%% SPDX-License-Identifier: Apache-2.0
%%
%% The gen_server that rows 1 to 3 start, call and cast to: a sum.
-module(bench_server).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

init(Sum) -> {ok, Sum}.

handle_call({add, N}, _From, Sum) -> {reply, Sum + N, Sum + N};
handle_call(sum, _From, Sum) -> {reply, Sum, Sum};
handle_call(crash, _From, _Sum) -> error(crash).

handle_cast({add, N}, Sum) -> {noreply, Sum + N}.

handle_info(_Message, Sum) -> {noreply, Sum}.
