# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Fetch is Sidekiq's fetcher: of a process up to 6, of a capsule from 7 on. It asks
    # the queues in the order that Sidekiq's own asks them in.
    class Fetch
      include Clock

      WAIT = 2 # s, after which a thread may look whether it shall stop
      PAUSES = [0.02, 0.5].freeze # s, between two looks: the first, the longest

      # source is a capsule, or the options of Sidekiq 6.
      def initialize(source, keeper = Sidekiq.keeper)
        capsule = source.respond_to?(:mode)
        @queues = capsule ? source.queues : source[:queues]
        @strict = capsule ? source.mode == :strict : source[:strict]
        @only = @queues.uniq.size == 1 && @queues.first
        @keeper, @server, @lanes = keeper, keeper.server, keeper.lanes
        @turn, @pause = Mutex.new, PAUSES.first
      end

      # retrieve_work returns a unit, or nil when there was none for a while. One thread
      # at a time waits for what is to come; each job lets the next one wait.
      def retrieve_work
        take || @turn.synchronize { await }
      end

      # bulk_requeue gives back what a hard shutdown cuts off.
      def bulk_requeue(units, _options = nil)
        @keeper.give_back(units) unless units.empty?
      end

      private

      def await
        ends = clock + WAIT
        until @keeper.quiet?
          unit = take
          if unit
            @pause = PAUSES.first
            return unit
          end
          left = ends - clock
          return if left <= 0

          pause(left)
        end
        sleep PAUSES.first # until this thread is told to stop as well
        nil
      end

      # pause lets the server wake it where there is one queue. A move carries the job
      # into the queue's inbox, where everybody who fetches looks first.
      def pause(left)
        if @only && !@paused && !@refused
          begin
            return @server.carry(Keys.line(@only), Keys.inbox(@only), [left, 0.1].max)
          rescue StandardError => e
            raise if Server.passing?(e)

            @refused = true # by an ACL, or for want of memory; looking works
          end
        end
        sleep [@pause, left].min
        @pause = [2 * @pause, PAUSES.last].min
      end

      # take moves the next job into this process's keeping. An answer that is lost is
      # asked for again by the next call, under the same number.
      def take
        return if @keeper.quiet?

        lane, queues = @lanes.mine, order
        lane.seq += 1 unless lane.asks
        lane.asks = true
        answer = ask(lane, queues)
        if answer[0] == "lost" # nobody has heard of us for too long, or the server has forgotten all
          @keeper.beat
          answer = ask(lane, queues)
        end
        unit = unit_of(lane, queues, answer)
        lane.asks = false
        unit
      end

      def ask(lane, queues)
        keys = [Keys.last(@keeper.id), Keys::HOLDERS]
        queues.each { |q| keys.push(Keys.line(q), Keys.inbox(q), Keys.held(q, @keeper.id), Keys.books(q)) }
        @server.script(:fetch, keys, [@keeper.id, lane.number, lane.written, 1, lane.key, 1] + [1] * queues.size)
      end

      def unit_of(lane, queues, answer)
        _, paused, number, first, jobs = answer
        @paused = !paused.to_s.empty?
        @keeper.hold(queues[number - 1], jobs[0], format("%s%04d", lane.key, first)) if jobs
      end

      # order is how the queues are asked this time, by their weights.
      def order
        (@strict ? @queues : @queues.shuffle).uniq
      end
    end
  end
end
