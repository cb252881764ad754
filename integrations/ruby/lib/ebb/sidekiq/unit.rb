# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Unit is a job that this process holds, as Sidekiq's processors know it.
    class Unit
      attr_reader :queue_name, :job, :field, :thread
      attr_accessor :finished

      # The calling thread is the one that runs it. finished is true once it has ended,
      # be it that the store does not know yet.
      def initialize(keeper, queue_name, job, field)
        @keeper, @queue_name, @job, @field = keeper, queue_name, job, field
        @thread = Thread.current
        @since = Time.now
        @finished = false
      end

      # queue is the list that the job came from.
      def queue
        Keys.line(@queue_name)
      end

      def acknowledge
        @keeper.acknowledge(self)
      end

      def requeue
        @keeper.requeue([self])
      end

      # abandoned reports whether nobody will end it any more: its thread died between a
      # job and its verdict, as when the retry of a failed one could not be written.
      def abandoned?
        !@thread.alive?
      end

      # to_h shows people what runs; see store.Run.
      def to_h
        @shown ||= begin
          read = ::Sidekiq.load_json(@job) rescue {}
          read = {} unless read.is_a?(Hash)
          { slot: (@thread.object_id ^ ::Process.pid).to_s(36), jid: read["jid"].to_s, kind: (read["wrapped"] || read["class"]).to_s,
            queue: @queue_name, since: @since.utc.iso8601(6) }
        end
      end

      def inspect
        "#<#{self.class.name} #{@queue_name} #{@job}>"
      end
    end
  end
end
