# frozen_string_literal: true

module Ebb
  module Sidekiq
    # Clock measures lengths of time, in seconds, whatever becomes of the time of day.
    module Clock
      private

      def clock
        ::Process.clock_gettime(::Process::CLOCK_MONOTONIC)
      end
    end
  end
end
