# frozen_string_literal: true

require "minitest/autorun"
require "stringio"

# Lossy loses the answer to one script, after it has run.
class Lossy < Ebb::Sidekiq::Server
  attr_accessor :loses

  def script(name, keys, args)
    reply = super
    return reply unless name == @loses

    @loses = nil
    raise IOError, "lost"
  end
end

# Cases are what holds for every major; a test gives fetcher_of, for one of them.
module Cases
  include Ebb::Sidekiq

  JOB = '{"class":"K","args":[1.0,9007199254740993],"jid":"j","queue":"q"}'

  def setup
    @said = StringIO.new
    @server = Lossy.new(config)
    @server.call("FLUSHDB")
    @id = "here:#{Process.pid}:#{SecureRandom.hex(6)}"
  end

  # start makes a keeper and the fetcher of some queues, each with a weight or none.
  def start(*queues)
    host = host_of(queues)
    host.instance_variable_set(:@identity, @id)
    log = Logger.new(@said)
    host.define_singleton_method(:logger) { log }
    @keeper = Ebb::Sidekiq::Keeper.new(@server, host)
    @keeper.beat
    @fetcher = fetcher_of(host, @keeper)
  end

  def push(queue = "q", job = JOB)
    @server.call("LPUSH", "queue:#{queue}", job)
  end

  # apart runs in a thread of its own, which is dead when apart returns.
  def apart(&block)
    Thread.new(&block).value
  end

  def held(queue = "q")
    @server.pairs("ebb:{queue:#{queue}}:held:#{@id}").map(&:last)
  end

  def ready(queue = "q")
    @server.call("LRANGE", "queue:#{queue}", 0, -1)
  end

  def books(queue = "q")
    @server.pairs("ebb:{queue:#{queue}}:books").to_h.transform_values(&:to_i)
  end

  def test_keeps_a_job_until_it_has_ended
    start "q"
    push
    unit = @fetcher.retrieve_work
    assert_equal ["q", "queue:q", JOB], [unit.queue_name, unit.queue, unit.job]
    assert_equal [[JOB], []], [held, ready]
    unit.acknowledge
    assert_equal [[], [], { "fetched" => 1, "ruby" => 1 }], [held, ready, books]
    refute_match(/no longer held/, @said.string)
  end

  def test_asks_strict_queues_in_order
    start "a", "b"
    push "b"
    push "a"
    assert_equal %w[a b], Array.new(2) { @fetcher.retrieve_work.queue_name }
  end

  def test_asks_weighted_queues_by_chance
    start "a,9", "b,1"
    200.times { |n| push "a", n.to_s; push "b", n.to_s }
    firsts = Array.new(100) { @fetcher.retrieve_work.queue_name }.count("a")
    assert_includes 70..99, firsts
  end

  def test_leaves_a_paused_queue_alone
    start "a", "b"
    @server.call("HSET", "ebb:{queue:a}:books", "paused", "1")
    push "a"
    push "b"
    assert_equal "b", @fetcher.retrieve_work.queue_name
    assert_equal [JOB], ready("a")
  end

  def test_a_waiting_thread_is_woken
    { "one queue" => ["a"], "several" => %w[a b] }.each do |name, queues|
      @server.call("FLUSHDB")
      start(*queues)
      waiting = Thread.new { @fetcher.retrieve_work }
      sleep 0.3
      push "a"
      assert waiting.value, name
    end
  end

  def test_a_job_in_an_inbox_comes_first
    start "q"
    push "q", "line"
    @server.call("LPUSH", "ebb:{queue:q}:inbox", "box")
    assert_equal %w[box line], Array.new(2) { @fetcher.retrieve_work.job }
  end

  def test_a_lost_answer_is_given_again
    start "q"
    push
    push
    @server.loses = :fetch
    assert_raises(IOError) { @fetcher.retrieve_work }
    @keeper.beat
    assert_equal 1, held.size, "taken from the thread that will ask again"
    unit = @fetcher.retrieve_work
    assert_equal [[unit.job], 1], [held, ready.size]
  end

  def test_what_a_dead_thread_never_heard_of_goes_back
    start "q"
    push
    @server.loses = :fetch
    apart { @fetcher.retrieve_work rescue nil }
    @keeper.beat
    assert_equal [[], [JOB]], [held, ready]
  end

  def test_what_a_dead_thread_did_not_end_goes_back
    start "q"
    push
    apart { @fetcher.retrieve_work }
    @keeper.beat
    assert_equal [[], [JOB]], [held, ready]
    assert_match(/gave back 1 jobs that no thread runs/, @said.string)
  end

  def test_a_verdict_whose_answer_is_lost_counts_once
    start "q"
    push
    unit = @fetcher.retrieve_work
    @server.loses = :ack
    unit.acknowledge
    assert_equal({ "fetched" => 1, "ruby" => 1 }, books)
    refute_match(/no longer held/, @said.string)
  end

  def test_tells_that_others_took_the_job
    start "q"
    push
    unit = @fetcher.retrieve_work
    @server.call("DEL", "ebb:{queue:q}:held:#{@id}")
    unit.acknowledge
    assert_match(/K j was no longer held/, @said.string)
  end

  def test_gives_back_to_the_front
    start "q"
    %w[1 2 3].each { |n| push "q", n }
    units = Array.new(2) { @fetcher.retrieve_work }
    units[1].requeue
    @fetcher.bulk_requeue([units[0]], {})
    assert_equal [[], %w[3 2 1]], [held, ready]
    assert_equal({ "fetched" => 2, "requeued" => 2 }, books)
  end

  def test_what_has_ended_is_not_given_back
    start "q"
    push
    unit = @fetcher.retrieve_work
    unit.finished = true # its thread waits to be able to tell
    @fetcher.bulk_requeue([unit])
    assert_equal [[], [], 1], [held, ready, books["ruby"]]
  end

  def test_a_quiet_process_fetches_nothing
    start "q"
    push
    @keeper.quiet("quiet")
    assert_nil @fetcher.retrieve_work
    assert_equal [JOB], ready
  end

  def test_a_lost_lease_is_taken_anew
    start "q"
    push
    @server.call("DEL", "ebb:holders", "ebb:queues")
    assert @fetcher.retrieve_work
    assert_equal ["q"], @server.call("SMEMBERS", "ebb:queues")
  end

  def test_a_server_that_forgets_scripts_is_sent_them
    start "q"
    push
    @server.call("SCRIPT", "FLUSH")
    assert @fetcher.retrieve_work
  end

  def test_a_full_server_is_drained
    push
    @server.call("CONFIG", "SET", "maxmemory", "1")
    @server.check("redis_version" => "7.0")
    start "q"
    @fetcher.retrieve_work.acknowledge
    @keeper.beat
    assert_equal [[], [], 1], [held, ready, books["ruby"]]
    assert_equal 1, @said.string.scan("others may not look").size
  ensure
    @server.call("CONFIG", "SET", "maxmemory", "0")
  end

  def test_leaves_once_and_only_itself
    start "q"
    push
    apart { @fetcher.retrieve_work }
    Process.wait(fork { @keeper.leave; exit! })
    assert_equal [JOB], held
    2.times { @keeper.leave }
    assert_equal [[], [JOB], 1], [held, ready, books["requeued"]]
    assert_equal [], @server.call("ZRANGE", "ebb:holders", 0, -1)
    assert_equal [@id], @server.call("ZRANGE", "ebb:stops", 0, -1)
    @keeper.beat
    assert_nil @server.call("ZSCORE", "ebb:holders", @id)
  end

  # gone is a process whose lease has ended, and which held these jobs.
  def gone(*jobs)
    id = "there:1:#{SecureRandom.hex(6)}"
    @server.call("ZADD", "ebb:holders", 1, id)
    @server.call("SADD", "ebb:queues", "q")
    jobs.each_with_index { |job, n| @server.call("HSET", "ebb:{queue:q}:held:#{id}", format("%028d", n), job) }
    id
  end

  def rescuer
    Ebb::Sidekiq::Rescuer.new(@keeper)
  end

  def steady
    @keeper.define_singleton_method(:steady?) { true }
  end

  def test_rescues_and_tells_the_job
    start "q"
    id = gone(JOB, "not json", JOB.sub('"j"', '"k"').sub("}", ',"ebb":{"n":4,"log":[{"t":1.5,"w":"interrupted"}],"hide":true}}'))
    rescuer.look
    assert_equal [], ready, "it is not sure yet"
    steady
    rescuer.look
    jobs = ready.reverse
    assert_equal "not json", jobs[1]
    first, last = JSON.parse(jobs[0]), JSON.parse(jobs[2])
    assert_equal JSON.parse(JOB), first.reject { |key, _| key == "ebb" }
    assert_equal [1, 1, "rescued", "crash", @id, id], [*first["ebb"].values_at("n", "x"), *first["ebb"]["log"][0].values_at("w", "c", "by", "m")]
    assert_equal [5, 1, true, %w[interrupted rescued]], [*last["ebb"].values_at("n", "x", "hide"), last["ebb"]["log"].map { |e| e["w"] }]
    assert_equal 3, books["rescued"]
    assert_nil @server.call("ZSCORE", "ebb:holders", id)
    report = JSON.parse(@server.call("LINDEX", "ebb:stop:#{id}", 0))
    assert_equal [id, "vanished", "lapsed", @id, %w[j k]], [*report.values_at("id", "reason", "cause", "by"), report["jobs"].map { |j| j["jid"] }.reject(&:empty?)]
  end

  def test_a_history_keeps_its_beginning
    start "q"
    log = Array.new(20) { |n| { "t" => n + 0.5, "w" => "rescued" } }
    gone(JSON.generate(class: "K", args: [], ebb: { log: log }))
    steady
    rescuer.look
    events = JSON.parse(ready[0])["ebb"]["log"]
    assert_equal [20, 0.5, 2.5], [events.size, events[0]["t"], events[1]["t"]]
  end

  def test_who_was_told_to_stop_has_not_crashed
    start "q"
    id = gone(JOB)
    @server.call("HSET", "ebb:presence", id, JSON.generate(id: id, state: "draining"))
    steady
    rescuer.look
    history = JSON.parse(ready[0])["ebb"]
    assert_equal [1, nil, "deploy"], [*history.values_at("n", "x"), history["log"][0]["c"]]
  end

  def test_leaves_a_lease_to_ebb_at_first
    start "q"
    id = gone(JOB)
    seconds, = @server.call("TIME").map(&:to_i)
    @server.call("ZADD", "ebb:holders", seconds * 1000, id)
    steady
    rescuer.look
    assert_equal [], ready
  end

  def test_is_sure_after_a_while_without_a_gap
    start "q"
    now = 100.0
    @keeper.define_singleton_method(:clock) { now }
    beat = ->(after) { now += after; @keeper.beat; @keeper.steady? }
    refute beat.call(0)
    5.times { refute beat.call(2) }
    assert beat.call(8 - 0.9) == false, "a gap"
    6.times { beat.call(2) }
    assert @keeper.steady?
    now += 7.5
    refute @keeper.steady?, "not heard for too long"
    beat.call(0)
    6.times { beat.call(2) }
    @server.loses = :beat
    assert_raises(IOError) { @keeper.beat }
    refute @keeper.steady?
  end

  # eventually waits until something is so.
  def eventually(what)
    ends = Time.now + 30
    until yield
      flunk "never saw #{what}" if Time.now > ends
      sleep 0.02
    end
  end

  def test_the_doorbell_is_seen_and_heals
    start "q"
    @keeper.start
    member = "#{@id} #{Ebb::Sidekiq::Keeper::SUSPICION}"
    eventually("the doorbell") { @server.call("ZSCORE", "ebb:doorbells", member) }
    @server.call("CLIENT", "KILL", "TYPE", "pubsub")
    eventually("another connection") { @server.call("PUBSUB", "NUMSUB", "ebb:bell:#{@id}")[1] == 1 }
    eventually("the doorbell again") { @server.call("ZSCORE", "ebb:doorbells", member) }
  ensure
    @keeper.leave
  end

  def test_who_is_not_heard_has_little_time_left
    start "q"
    id = gone
    seconds, = @server.call("TIME").map(&:to_i)
    @server.call("ZADD", "ebb:holders", seconds * 1000 + 60_000, id)
    @server.call("ZADD", "ebb:doorbells", 0, "#{id} 900")
    @keeper.beat
    assert_operator @server.call("ZSCORE", "ebb:holders", id).to_f, :<, seconds * 1000 + 5_000
  end

  def test_its_init_knows_it_by_its_name
    word = "0123456789ab"
    { word => /:\d+:\h{12}-#{word}\z/, "too-short" => /:\h{12}\z/, nil => /:\h{12}\z/ }.each do |boot, want|
      read, write = IO.pipe
      Process.wait(fork do
        host = host_of(["q"])
        host.take_boot(boot)
        write.print(host.identity)
        write.close
        exit!
      end)
      write.close
      assert_match want, read.read
    end
  end

  def test_marks_and_refuses_servers
    @server.check("redis_version" => "7.0.15")
    assert_equal({ "layout" => "sidekiq", "version" => "1", "min_reader" => "1" }, @server.pairs("ebb:meta").to_h)
    @server.check("redis_version" => "6.2.0")
    refused = Ebb::Sidekiq::Refused
    assert_match(/6\.2 or newer/, assert_raises(refused) { @server.check("redis_version" => "6.0.16") }.message)
    @server.call("HSET", "ebb:meta", "layout", "cluster")
    assert_match(/another server/, assert_raises(refused) { @server.check({}) }.message)
    @server.call("HSET", "ebb:meta", "min_reader", "2")
    assert_match(/upgrade/, assert_raises(refused) { @server.check({}) }.message)
  end
end
