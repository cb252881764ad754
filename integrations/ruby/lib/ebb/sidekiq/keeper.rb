# frozen_string_literal: true

require "set"

module Ebb
  module Sidekiq
    # Keeper holds the jobs of this process: it keeps the lease alive by which others
    # know that they are held, and records what became of them.
    #
    # The lease is long, for a job that does not let go of Ruby's VM lock keeps this
    # thread waiting as well. That costs nothing after a KILL: the doorbell tells.
    class Keeper
      include Clock

      TTL = 60_000 # ms, of the lease
      EVERY = 2 # s, between two beats
      SUSPICION = 5_000 # ms, what others leave of the lease while nobody listens here

      # A pause between two answers after which this process may not judge others, and
      # for how long it does not: whoever lives has beaten by then.
      GAP = 7
      STEADY = 12

      RENEW = 60 # s, between two tries with a doorbell that the server does not see

      attr_reader :server, :id, :logger

      # Called with the ms until the lease of one who is suspected ends.
      attr_writer :suspected

      def initialize(server, host)
        @server, @host, @id, @logger = server, host, host.identity, host.logger
        @pid = ::Process.pid
        @queues = host.queues
        @units, @units_lock = {}, Mutex.new
        @verdicts, @fetches = Lanes.new, []
        @state, @left = "running", false
        @rung, @ringing, @rings = false, Mutex.new, ConditionVariable.new
        @beating = Mutex.new
        @suspected, @warned = ->(_) {}, Set.new
        @doorbell = Doorbell.new(server, Keys::BELL + @id) { ring }
      end

      # start registers the process; it raises if the server does not answer.
      def start
        beat
        @doorbell.start
        @thread = Thread.new { run }
        @thread.name = "ebb.keeper"
      end

      # quiet makes fetching end; state is what others see.
      def quiet(state)
        @state = state
        ring
      end

      def quiet?
        @left || @state != "running"
      end

      # lanes are for a fetcher that takes jobs in the name of this process.
      def lanes
        Lanes.new.tap { |lanes| @fetches << lanes }
      end

      # hold takes note of a job that the server has this process holding.
      def hold(queue, job, field)
        unit = Unit.new(self, queue, job, field)
        @units_lock.synchronize { @units[field] = unit }
        unit
      end

      # acknowledge forgets a job that has ended, and returns when the server knows: a
      # thread that cannot tell it could not fetch either. If the process ends before, the
      # job runs again.
      def acknowledge(unit)
        unit.finished = true
        lane = @verdicts.next
        patiently { regret(forget(lane, [unit])) }
      end

      # requeue puts jobs back to the front of their queues, as they are; the first is
      # foremost. It returns those that were not held.
      def requeue(units)
        return [] if units.empty?

        lane, queues = @verdicts.next, units.map(&:queue_name).uniq
        args = [lane.number, lane.written, queues.size, *queues]
        units.each do |unit|
          number = queues.index(unit.queue_name) + 1
          args.push(number, unit.field, "", number)
        end
        settle(units, @server.script(:requeue, Keys.verdict(@id, queues), args))
      end

      # give_back ends what the threads of a hard shutdown did not: who was done and could
      # not say so is not run again.
      def give_back(units)
        done, cut = units.partition(&:finished)
        forget(@verdicts.next, done) unless done.empty?
        regret(requeue(cut))
        @logger.info("ebb: gave back #{cut.size} jobs") unless cut.empty?
      rescue StandardError => e
        @logger.warn("ebb: could not give back #{units.size} jobs, which others will: #{e.message}")
      end

      # beat renews the lease, and looks whether both sides agree on what is held.
      def beat
        @beating.synchronize do
          return if @left

          keys = [Keys.last(@id), Keys::HOLDERS] + @queues.map { |q| Keys.held(q, @id) }
          said, _, anew, *held = @server.script(:beat, keys, [@id, TTL])
          return @left = true if said == "left" # by hand: nothing is fetched any more

          enlist(anew == 1)
          answered(anew == 1)
          compare(@queues.zip(held))
          neighbours
        end
      rescue StandardError
        @steady = nil
        raise
      end

      # steady reports whether this process has been heard for so long without a gap that
      # a lease which has ended proves an end.
      def steady?
        steady = @steady
        steady && clock - steady >= STEADY && clock - @answered <= GAP
      end

      # leave gives back whatever is still held, and takes the process out for good. In a
      # child that a job has forked it does nothing, nor does a second call.
      def leave
        return if ::Process.pid != @pid || @gone

        @gone = true
        @thread&.kill
        @doorbell.stop
        done = units.select(&:finished)
        forget(@verdicts.next, done) unless done.empty?
        report = { id: @id, reason: "Sidekiq ended", ended: Time.now.utc.iso8601(6) }
        lane = @verdicts.next
        @server.script(:leave, Keys.verdict(@id, @queues) + Keys.departure(@id),
          [lane.number, lane.written, @queues.size, *@queues, @id, JSON.generate(report), 0])
        @left = true
        @queues.each { |q| @server.script(:unbox, [Keys.inbox(q), Keys.line(q)], []) }
      rescue StandardError => e
        @logger.warn("ebb: could not leave: #{e.message}; what is held, others give back")
      end

      def left?
        @left
      end

      private

      def units
        @units_lock.synchronize { @units.values }
      end

      def drop(unit)
        @units_lock.synchronize { @units.delete(unit.field) }
      end

      # forget acknowledges units. Ruby has counted them among what it processed and wrote
      # the retries of those that failed, so the books note only whose they were.
      def forget(lane, units)
        queues = units.map(&:queue_name).uniq
        keys = [Keys.last(@id)] + queues.flat_map { |q| [Keys.held(q, @id), Keys.books(q)] }
        args = units.flat_map { |unit| [queues.index(unit.queue_name) + 1, unit.field, "ruby", 0] }
        settle(units, @server.script(:ack, keys, [lane.number, lane.written, *args]))
      end

      # settle notes that verdicts are recorded, and returns the units that were not held.
      def settle(units, answer)
        units.each { |unit| drop(unit) }
        answer[1].split.map { |i| units[i.to_i] }
      end

      def regret(units)
        units.each do |unit|
          @logger.warn("ebb: #{unit.to_h[:kind]} #{unit.to_h[:jid]} was no longer held: others took this process for gone, so it runs twice")
        end
      end

      # patiently repeats a call until it is answered.
      def patiently
        pause, told = 0.1, false
        begin
          yield
        rescue StandardError => e
          raise unless Server.passing?(e)

          @logger.warn("ebb: cannot record that a job has ended, and waits: #{e.message}") unless told
          told = true
          sleep pause
          pause = [2 * pause, 2].min
          retry
        end
      end

      def run
        until @left
          wait
          begin
            beat
            away = false
          rescue StandardError => e
            @logger.error("ebb: beat: #{e.message}") unless away
            away = true
          end
        end
      end

      # wait returns when the next beat is due, or at once if there is news.
      def wait
        @ringing.synchronize do
          @rings.wait(@ringing, EVERY) unless @rung
          @rung = false
        end
      end

      def ring
        @ringing.synchronize do
          @rung = true
          @rings.signal
        end
      end

      # enlist tells where to look for what this process may hold, and shows it to people.
      def enlist(anew)
        @enlisted = false if anew
        optional("others may not look for what is held here") do
          @server.call("SADD", Keys::QUEUES, *@queues) unless @enlisted
          @enlisted = true
          @server.call("HSET", Keys::PRESENCE, @id, @host.presence(@state, units))
        end
      end

      # optional is for what a server may refuse, for want of memory or by an ACL: a full
      # one has to be drained all the same.
      def optional(consequence)
        yield
      rescue StandardError => e
        raise if Server.passing?(e)

        @logger.warn("ebb: #{consequence}: #{e.message}") unless @warned.include?(consequence)
        @warned << consequence
      end

      def answered(anew)
        @steady = clock if !@steady || anew || clock - @answered > GAP
        @answered = clock
      end

      # compare gives back what this process holds and nobody runs: an answer was lost
      # together with the thread that waited for it, or a thread died before its verdict.
      def compare(held)
        strays = held.flat_map { |queue, fields| fields.reject { |f| known?(f) }.map { |f| Unit.new(self, queue, "", f) } }
        done, cut = units.select(&:abandoned?).partition(&:finished)
        forget(@verdicts.next, done) unless done.empty?
        cut += strays
        count = cut.size - requeue(cut).size
        @logger.warn("ebb: gave back #{count} jobs that no thread runs") if count.positive?
      end

      # Who awaits a field makes a unit of it before it stops to; so the order matters.
      def known?(field)
        @fetches.any? { |lanes| lanes.awaits?(field) } || @units_lock.synchronize { @units.key?(field) }
      end

      # neighbours shortens the leases of those who can no longer be heard.
      def neighbours
        optional("that a process has died shows only when its lease ends") do
          up = @doorbell.up?
          listeners, soonest = @server.script(:neighbours, [Keys::DOORBELLS, Keys::HOLDERS], [@id, Keys::BELL, up ? SUSPICION : 0])
          renew if up && listeners.zero?
          @suspected.call(soonest) if soonest >= 0
        end
      end

      def renew
        return if @renewed && clock - @renewed < RENEW

        @renewed = clock
        @doorbell.renew
      end
    end
  end
end
