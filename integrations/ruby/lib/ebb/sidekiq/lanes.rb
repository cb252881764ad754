# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Lanes number the calls of threads, so that repeating one whose answer was lost
    # gets the same answer. What a dead thread has left goes on with the next one that
    # comes: Sidekiq replaces a thread after each failed job.
    class Lanes
      # Lane is the calls of one thread at a time. asks is true while a fetch is not
      # answered.
      Lane = Struct.new(:number, :thread, :seq, :asks) do
        # key begins the fields of what the last call fetched.
        def key
          format("%020d%04d", seq, number)
        end

        def written
          format("%020d", seq)
        end
      end

      @count = 0
      @counting = Mutex.new

      # No two lanes of a process have one number.
      def self.number
        @counting.synchronize { @count += 1 }
      end

      def initialize
        @lanes = []
        @lock = Mutex.new
      end

      # mine is the lane of the calling thread.
      def mine
        @lock.synchronize do
          lane = @lanes.find { |l| l.thread == Thread.current } || @lanes.find { |l| !l.thread.alive? }
          @lanes << lane = Lane.new(Lanes.number, nil, 0, false) unless lane
          lane.thread = Thread.current
          lane
        end
      end

      # next is mine, with a number for a new call.
      def next
        lane = mine
        lane.seq += 1
        lane
      end

      # awaits reports whether a living thread will still hear that it holds field.
      def awaits?(field)
        @lock.synchronize { @lanes.any? { |l| l.asks && l.thread.alive? && field.start_with?(l.key) } }
      end
    end
  end
end
