# frozen_string_literal: true

require "sidekiq"
require "ebb/sidekiq/version"
require "ebb/sidekiq/clock"
require "ebb/sidekiq/host"
require "ebb/sidekiq/keys"
require "ebb/sidekiq/server"
require "ebb/sidekiq/lanes"
require "ebb/sidekiq/unit"
require "ebb/sidekiq/doorbell"
require "ebb/sidekiq/keeper"
require "ebb/sidekiq/fetch"
require "ebb/sidekiq/rescuer"

module Ebb
  # A reliable fetch for Sidekiq 6.4, 7 and 8. A job that a process has fetched stays in
  # Redis, in that process's name, until it has ended; who finds the process gone puts
  # it back. That is ebb's own way to keep jobs, by ebb's own scripts, so ebb's workers
  # and all Ruby processes with this file rescue each other.
  module Sidekiq
    # Refused is raised at the start where jobs could not be kept.
    class Refused < StandardError; end

    class << self
      # The keeper of this process; nil until it has started.
      attr_reader :keeper

      # install makes a process fetch reliably. Loading this file has done it for
      # workers; only an embedded one calls it, with what configure_embed yields.
      # A second call does nothing.
      def install(config)
        return if @host

        @host = Host.new(config)
        @host.take_boot(ENV["EBB_BOOT"])
        config.on(:startup) { start }
        config.on(:quiet) { @keeper&.quiet("quiet") }
        config.on(:shutdown) { @keeper&.quiet("draining") }
      end

      private

      # start runs when the process knows its queues and fetches nothing yet. What it
      # raises keeps Sidekiq from starting.
      def start
        server = Server.new(@host.config)
        server.check(@host.redis_info)
        @keeper = Keeper.new(server, @host)
        @keeper.start
        Rescuer.new(@keeper).start
        @host.fetch_with(Fetch)
        at_exit { @keeper.leave }
      end
    end
  end
end

Sidekiq.configure_server { |config| Ebb::Sidekiq.install(config) }
