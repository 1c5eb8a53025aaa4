# SPDX-License-Identifier: Apache-2.0
#
# Elixir's side of the rows in ../README.md, as far as Elixir has something of its own for them.
defmodule BenchServer do
  use GenServer

  def init(sum), do: {:ok, sum}
  def handle_call({:add, n}, _from, sum), do: {:reply, sum + n, sum + n}
  def handle_call(:sum, _from, sum), do: {:reply, sum, sum}
  def handle_cast({:add, n}, sum), do: {:noreply, sum + n}
end

defmodule BenchPeer do
  def rows do
    %{
      "call" => {"ns", &call/1},
      "agent-get" => {"ns", &agent_get/1},
      "agent-update" => {"ns", &agent_update/1},
      "task" => {"ns", &task/1},
      "task-many" => {"ns", &task_many/1},
      "stream" => {"ns", &stream(&1, [])},
      "stream-unordered" => {"ns", &stream(&1, ordered: false)},
      "stream-wide" => {"ns", &stream(&1, max_concurrency: 1000)},
      "cast-1" => {"M/s", &cast(1, &1)},
      "cast-2" => {"M/s", &cast(2, &1)},
      "cast-8" => {"M/s", &cast(8, &1)},
      "start-stop" => {"ns", &start_stop/1},
      "dynamic-children" => {"ns", &dynamic_children/1},
      "registry-register" => {"ns", &registry_register/1},
      "registry-lookup" => {"ns", &registry_lookup/1},
      "via-call" => {"ns", &via_call/1},
      "via-extra" => {"ns", &via_extra/1}
    }
  end

  def main(["list"]), do: Enum.each(Map.keys(rows()), &IO.puts("elixir\t#{&1}"))
  def main(["version"]), do: IO.puts("Elixir #{System.version()} on OTP #{System.otp_release()}")

  def main([row | options]) do
    case rows() do
      %{^row => {unit, measure}} ->
        scale = if "quick" in options, do: 8, else: 1
        # A fresh process, so that the row begins with an empty heap.
        value = Task.await(Task.async(fn -> measure.(scale) end), :infinity)
        IO.puts("#{row}\t#{:erlang.float_to_binary(value / 1, decimals: 3)}\t#{unit}")

      _ ->
        IO.puts(:stderr, "no row #{row}")
        System.halt(2)
    end
  end

  defp elapsed(fun) do
    start = System.monotonic_time(:nanosecond)
    fun.()
    System.monotonic_time(:nanosecond) - start
  end

  defp each(operations, fun), do: elapsed(fn -> times(operations, fun) end) / operations
  defp rate(operations, fun), do: 1000 * operations / elapsed(fun)

  defp times(0, _fun), do: :ok

  defp times(n, fun) do
    fun.()
    times(n - 1, fun)
  end

  # 1 call ---------------------------------------------------------------------------------------------------------------

  defp call(scale) do
    {:ok, server} = GenServer.start_link(BenchServer, 0)
    each(div(500_000, scale), fn -> GenServer.call(server, {:add, 1}) end)
  end

  defp agent_get(scale) do
    {:ok, agent} = Agent.start_link(fn -> 0 end)
    each(div(400_000, scale), fn -> Agent.get(agent, & &1) end)
  end

  defp agent_update(scale) do
    {:ok, agent} = Agent.start_link(fn -> 0 end)
    each(div(400_000, scale), fn -> Agent.update(agent, &(&1 + 1)) end)
  end

  defp task(scale), do: each(div(200_000, scale), fn -> Task.await(Task.async(fn -> 1 end)) end)

  defp task_many(scale) do
    rounds = max(1, div(200, scale))

    elapsed(fn ->
      times(rounds, fn ->
        tasks = for i <- 1..1000, do: Task.async(fn -> i end)
        500_500 = tasks |> Task.await_many() |> Enum.sum()
      end)
    end) / (rounds * 1000)
  end

  defp stream(scale, options) do
    elements = div(200_000, scale)
    expected = div(elements * (elements + 1), 2)

    elapsed(fn ->
      ^expected = 1..elements |> Task.async_stream(& &1, options) |> Enum.reduce(0, fn {:ok, n}, sum -> sum + n end)
    end) / elements
  end

  # 2 cast ---------------------------------------------------------------------------------------------------------------

  defp cast(producers, scale) do
    {:ok, server} = GenServer.start_link(BenchServer, 0)
    each = 2_400_000 |> div(scale) |> div(producers)
    total = each * producers
    parent = self()

    pids =
      for _ <- 1..producers do
        spawn_link(fn ->
          receive do
            :go -> :ok
          end

          times(each, fn -> GenServer.cast(server, {:add, 1}) end)
          send(parent, :sent)
        end)
      end

    rate(total, fn ->
      Enum.each(pids, &send(&1, :go))

      times(producers, fn ->
        receive do
          :sent -> :ok
        end
      end)

      ^total = GenServer.call(server, :sum, :infinity)
    end)
  end

  # 3 start and stop -----------------------------------------------------------------------------------------------------

  defp start_stop(scale) do
    each(div(200_000, scale), fn ->
      {:ok, server} = GenServer.start(BenchServer, 0)
      GenServer.stop(server)
    end)
  end

  # 5 supervisors --------------------------------------------------------------------------------------------------------

  # 100,000 children started under one DynamicSupervisor, then each one terminated.
  defp dynamic_children(scale) do
    {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
    child = %{id: :bench, start: {GenServer, :start_link, [BenchServer, 0]}, restart: :temporary}
    count = div(100_000, scale)

    elapsed(fn ->
      pids =
        for _ <- 1..count do
          {:ok, pid} = DynamicSupervisor.start_child(supervisor, child)
          pid
        end

      Enum.each(pids, fn pid -> :ok = DynamicSupervisor.terminate_child(supervisor, pid) end)
    end) / count
  end

  # 7 names --------------------------------------------------------------------------------------------------------------

  defp registry_register(scale) do
    {:ok, _} = Registry.start_link(keys: :unique, name: BenchRegistry)

    each(div(200_000, scale), fn ->
      {:ok, _} = Registry.register(BenchRegistry, "a name", nil)
      Registry.unregister(BenchRegistry, "a name")
    end)
  end

  defp registry_lookup(scale) do
    {:ok, _} = Registry.start_link(keys: :unique, name: BenchRegistry)
    keys = for i <- 1..10_000, do: "name_of_a_server_#{i}"
    Enum.each(keys, fn key -> {:ok, _} = Registry.register(BenchRegistry, key, nil) end)
    rounds = max(1, div(100, scale))

    elapsed(fn -> times(rounds, fn -> Enum.each(keys, &Registry.lookup(BenchRegistry, &1)) end) end) /
      (rounds * 10_000)
  end

  defp via_call(scale) do
    {:ok, _} = Registry.start_link(keys: :unique, name: BenchRegistry)
    name = {:via, Registry, {BenchRegistry, "a name"}}
    {:ok, _} = GenServer.start_link(BenchServer, 0, name: name)
    each(div(200_000, scale), fn -> GenServer.call(name, {:add, 1}) end)
  end

  defp via_extra(scale), do: via_call(scale) - call(scale)
end
