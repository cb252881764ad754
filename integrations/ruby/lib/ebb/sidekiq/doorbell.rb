# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Doorbell is a connection on which this process listens. The server sees it end when
    # the process does, however long a lease is and whatever keeps Ruby's threads busy;
    # then others shorten the lease. It may end for other reasons, so each change makes
    # the keeper beat at once, which restores the lease. See store/redisstore/doorbell.go.
    class Doorbell
      PAUSES = [0.3, 3].freeze # between two tries to listen: the first, the longest

      def initialize(server, channel, &rung)
        @server, @channel, @rung = server, channel, rung
        @up = false
      end

      def up?
        @up
      end

      def start
        @thread = Thread.new { run }
        @thread.name = "ebb.doorbell"
      end

      # renew listens anew: the server does not see anybody, although no end was heard.
      def renew
        stop
        start
      end

      def stop
        @thread&.kill
        @thread&.join(1)
      end

      private

      # Whoever calls the server tells that it is away; without a doorbell there is still
      # the lease.
      def run
        pause = PAUSES.first
        loop do
          begin
            @server.listen(@channel, -> { pause = PAUSES.first; turn(true) }, &@rung)
          rescue StandardError
            nil
          end
          turn(false)
          sleep pause
          pause = [2 * pause, PAUSES.last].min
        end
      ensure
        @up = false
      end

      def turn(up)
        return if @up == up

        @up = up
        @rung.call
      end
    end
  end
end
