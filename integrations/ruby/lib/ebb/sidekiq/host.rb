# frozen_string_literal: true

require "json"
require "securerandom"
require "time"

module Ebb
  module Sidekiq
    # Host is the Sidekiq that this process is, as far as its majors differ: 6.4 and 6.5
    # keep everything in one hash of options and make their fetcher once, 7 and 8 have a
    # fetcher for each capsule.
    class Host
      # A word that an init may have given to the processes that it starts, as in
      # store/identity.go.
      BOOT = /\A[a-z0-9]{12,64}\z/

      attr_reader :config

      # config is what Sidekiq yields: itself up to 6, a Config from 7 on.
      def initialize(config)
        @config = config
        @started = Time.now
      end

      # take_boot ends the identity of this process in the word of its init, so that
      # ebb init, when its child has died, knows whose jobs to give back at once. An
      # identity that has been made already stays: then the lease tells, in seconds.
      def take_boot(word)
        return unless BOOT.match?(word.to_s)
        return if names.class_variable_defined?(:@@identity)

        names.class_variable_set(:@@process_nonce, "#{SecureRandom.hex(6)}-#{word}")
      end

      # identity is Sidekiq's own: one process has one name in all views.
      def identity
        @identity ||= Object.new.extend(names).identity
      end

      def capsules?
        @config.respond_to?(:capsules)
      end

      def fetch_with(fetch)
        if capsules?
          @config[:fetch_class] = fetch
        else
          options[:fetch] = fetch.new(options)
        end
      end

      # groups are name, threads, queues and whether these are asked in order.
      def groups
        return [["default", options[:concurrency], options[:queues], options[:strict]]] unless capsules?

        @config.capsules.map { |name, c| [name, c.concurrency, c.queues, c.mode == :strict] }
      end

      def queues
        groups.flat_map { |_, _, queues, _| queues }.uniq
      end

      def redis_info
        @config.redis_info
      end

      def logger
        @config.logger
      end

      # presence is what people are shown, and what a rescuer knows of how it ended; busy
      # are the units that run. See store.Presence.
      def presence(state, busy)
        JSON.generate(
          id: identity, host: identity[/\A[^:]*/], pid: ::Process.pid, tag: options[:tag], version: "sidekiq #{::Sidekiq::VERSION}",
          labels: options[:labels].to_a, started: @started.utc.iso8601(6), state: state, lang: "ruby",
          concurrency: groups.sum { |_, threads, _, _| threads }, groups: groups.map { |group| show(*group) },
          rss: memory, busy: busy.map(&:to_h), at: Time.now.to_f, ttl: Keeper::TTL
        )
      end

      private

      def options
        @config.respond_to?(:[]) ? @config : @config.options
      end

      # memory is what is resident, in bytes; 0 where the system does not tell.
      def memory
        File.read("/proc/self/status")[/^VmRSS:\s+(\d+)/, 1].to_i * 1024
      rescue SystemCallError
        0
      end

      def show(name, threads, queues, strict)
        weights = queues.tally.map { |queue, weight| { queue: queue, weight: strict ? 0 : weight } }
        { name: name, strict: strict ? true : false, concurrency: threads, queues: weights }
      end

      # names is the module that gives processes their names.
      def names
        defined?(::Sidekiq::Component) ? ::Sidekiq::Component : ::Sidekiq::Util
      end
    end
  end
end
