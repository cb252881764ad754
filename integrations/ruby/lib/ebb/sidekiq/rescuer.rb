# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Rescuer gives back what processes held that are gone, be they Ruby's or ebb's.
    #
    # It leaves the first seconds to ebb's own processes, which also judge whether a job
    # has brought its process down; here every job goes to the front of its queue, and is
    # only told what happened, so that they can count it later.
    class Rescuer
      include Clock

      EVERY = 1.0 # s, between two looks
      DEFER = 2_000 # ms after the end of a lease
      MOST = 10 # processes in one look
      BATCH = 100 # jobs in one call

      def initialize(keeper)
        @keeper, @server, @logger = keeper, keeper.server, keeper.logger
        @soon, @lock, @told = nil, Mutex.new, ConditionVariable.new
        keeper.suspected = ->(ms) { expect(ms) }
      end

      def start
        @thread = Thread.new { run }
        @thread.name = "ebb.rescuer"
      end

      # look rescues whoever is gone.
      def look
        return unless @keeper.steady?

        seconds, micros = @server.call("TIME").map(&:to_i)
        ended = seconds * 1000 + micros / 1000 - DEFER
        lapsed = @server.call("ZRANGEBYSCORE", Keys::HOLDERS, "-inf", ended, "LIMIT", 0, MOST)
        lapsed.each { |id| give_back(id, seconds + micros / 1e6) unless id == @keeper.id }
      end

      private

      # expect makes a look when a lease ends that was shortened.
      def expect(millis)
        @lock.synchronize do
          at = clock + (millis + DEFER) / 1000.0 + 0.01
          @soon = at if !@soon || at < @soon
          @told.signal
        end
      end

      def run
        until @keeper.left?
          @lock.synchronize do
            pause = EVERY * (0.8 + 0.2 * rand)
            pause = [pause, [@soon - clock, 0].max].min if @soon
            @told.wait(@lock, pause) if pause.positive?
            @soon = nil if @soon && @soon <= clock
          end
          begin
            look
          rescue StandardError => e
            @logger.warn("ebb: rescue: #{e.message}") unless Server.passing?(e) # the keeper tells that
          end
        end
      end

      # give_back compares the lease with the one that it saw first: nothing was fetched
      # since.
      def give_back(id, now)
        lease = @server.call("ZSCORE", Keys::HOLDERS, id)
        return unless lease

        left, unclaimed, beat = @server.call("HMGET", Keys.last(id), "left", "unclaimed", "beat")
        queues = @server.call("SMEMBERS", Keys::QUEUES)
        jobs = queues.flat_map { |q| @server.pairs(Keys.held(q, id)).map { |field, payload| [q, field, payload] } }
        jobs = jobs.sort_by { |_, field, _| field }.first(BATCH)
        lease = lease.to_f.to_i
        last = presence(id)
        ending = end_of(last, left, unclaimed.to_s == lease.to_s)
        return unless @keeper.steady?

        moved, forgotten = rescue_jobs(id, lease, queues, jobs, ending, report(id, last, ending, beat, now, jobs), now)
        queues.each { |q| @server.script(:unbox, [Keys.inbox(q), Keys.line(q)], []) } if moved + forgotten > 0
        @logger.info("ebb: rescued #{moved} jobs of #{id}, which #{ending[:reason]}") if moved > 0
      end

      def rescue_jobs(id, lease, queues, jobs, ending, report, now)
        args = ["0", "", queues.size, *queues, id, lease, 0, JSON.generate(report), 1]
        jobs.each do |queue, field, payload|
          args.push(queues.index(queue) + 1, field, payload, remember(payload, id, ending, now), 0, 0, 0)
        end
        @server.script(:rescue, Keys.verdict(id, queues) + Keys.departure(id), args)
      end

      def presence(id)
        JSON.parse(@server.call("HGET", Keys::PRESENCE, id) || "{}")
      rescue JSON::ParserError
        {}
      end

      # end_of is what is known of an end: the lease's cause, its word in the history of a
      # job, and how people read it. One that was asked to stop was killed for being slow.
      def end_of(last, left, unclaimed)
        if unclaimed
          { cause: "unclaimed", word: "nobody held it", reason: "held jobs without a lease" }
        elsif left
          { cause: "left", word: "deploy", reason: "left while jobs still ran" }
        elsif %w[quiet draining].include?(last["state"])
          { cause: "lapsed", word: "deploy", reason: "vanished while #{last["state"]}" }
        else
          { cause: "lapsed", word: "crash", reason: "vanished", crash: true }
        end
      end

      # report is the stop report; see store.StopReport.
      def report(id, last, ending, beat, now, jobs)
        fates = jobs.map do |queue, _, payload|
          job = read(payload) || {}
          { jid: job["jid"].to_s, kind: (job["wrapped"] || job["class"]).to_s, queue: queue, fate: "rescued" }
        end
        said = { id: id, release: last["release"], tag: last["tag"], grace: last["grace"], reason: ending[:reason], by: @keeper.id,
                 cause: ending[:cause], heard: beat && written(beat.to_i / 1e6), ended: written(now), jobs: fates }
        said.compact
      end

      # remember tells a job what happened to it, as wire/history.go does. One that cannot
      # be read goes back as it is.
      def remember(payload, id, ending, now)
        job = read(payload)
        return "" unless job

        history = job["ebb"].is_a?(Hash) ? job["ebb"].dup : {}
        history["n"] = history["n"].to_i + 1
        history["x"] = history["x"].to_i + 1 if ending[:crash]
        events = history["log"].is_a?(Array) ? history["log"] : []
        events = [events[0], *events.last(18)] if events.size > 19
        history["log"] = events + [{ "t" => now.round(6), "w" => "rescued", "c" => ending[:word], "by" => @keeper.id, "m" => id }]
        ::Sidekiq.dump_json(job.merge("ebb" => history))
      rescue StandardError
        ""
      end

      def read(payload)
        job = ::Sidekiq.load_json(payload)
        job if job.is_a?(Hash)
      rescue StandardError
        nil
      end

      def written(seconds)
        Time.at(seconds).utc.iso8601(6)
      end
    end
  end
end
