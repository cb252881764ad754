# frozen_string_literal: true

require "digest"
require "timeout"

module Ebb
  module Sidekiq
    # Server is Redis, over Sidekiq's own connections: redis-rb up to 6, redis-client from
    # 7 on. Both may send a command again after a lost connection; that is harmless, for
    # every call that moves a job is numbered.
    class Server
      # The layout of keys that this version writes, and what it can read.
      LAYOUT = "sidekiq"
      VERSION = 1

      # Preludes come first, as in store/redisstore/script.go.
      PARTS = {
        fetch: %w[fetch], ack: %w[ack], beat: %w[beat], neighbours: %w[neighbours], unbox: %w[unbox],
        requeue: %w[held requeue], leave: %w[held depart leave], rescue: %w[held depart rescue]
      }.freeze
      SOURCES = PARTS.transform_values do |parts|
        parts.map { |name| File.read(File.expand_path("../scripts/#{name}.lua", __dir__), encoding: "utf-8") }.join.freeze
      end.freeze
      DIGESTS = SOURCES.transform_values { |source| Digest::SHA1.hexdigest(source) }.freeze

      # What a server says that will soon be able to answer.
      PASSING = /\A(LOADING|READONLY|MASTERDOWN|BUSY|NOREPLICAS|UNBLOCKED|TRYAGAIN|CLUSTERDOWN)\b/.freeze

      # passing reports whether repeating a call may help: the server is away, changes
      # its role, or no connection is free.
      def self.passing?(error)
        PASSING.match?(error.message) || [IOError, SystemCallError, Timeout::Error, *AWAY].any? { |kind| error.is_a?(kind) }
      end

      AWAY = [
        defined?(::Redis::BaseConnectionError) && ::Redis::BaseConnectionError,
        defined?(::RedisClient::ConnectionError) && ::RedisClient::ConnectionError
      ].select { |kind| kind }.freeze

      def initialize(config)
        @config = config
      end

      def call(*command)
        @config.redis { |conn| conn.call(*command) }
      end

      # script runs one of PARTS. A server that does not know it is sent its source.
      def script(name, keys, args)
        @config.redis do |conn|
          conn.call("EVALSHA", DIGESTS.fetch(name), keys.size, *keys, *args)
        rescue StandardError => e
          raise unless e.message.start_with?("NOSCRIPT")

          conn.call("EVAL", SOURCES.fetch(name), keys.size, *keys, *args)
        end
      end

      # pairs reads a hash, which an older protocol gives as a list.
      def pairs(key)
        reply = call("HGETALL", key)
        reply.is_a?(Hash) ? reply.to_a : reply.each_slice(2).to_a
      end

      # carry waits so many seconds for a job in line, carries it to inbox, and reports
      # whether it did.
      def carry(line, inbox, seconds)
        @config.redis do |conn|
          if conn.respond_to?(:blocking_call)
            conn.blocking_call(conn.read_timeout + seconds, "BLMOVE", line, inbox, "RIGHT", "LEFT", seconds)
          else
            conn.blmove(line, inbox, "RIGHT", "LEFT", timeout: seconds)
          end
        end
      end

      # listen subscribes to a channel over a connection of its own, says when it does,
      # and yields for each message. It returns, or raises, when the connection ends.
      def listen(channel, up, &ring)
        conn = @config.redis { |c| c.respond_to?(:blocking_call) ? c.config.new_client.pubsub : c.dup }
        if conn.respond_to?(:next_event)
          follow(conn, channel, up, &ring)
        else
          conn.subscribe(channel) do |on|
            on.subscribe { up.call }
            on.message { ring.call }
          end
        end
      ensure
        conn&.close
      end

      # check refuses a server that cannot keep jobs, or keeps them otherwise, and marks
      # one that nobody has marked, if that is not full.
      def check(info)
        refuse_namespace
        version = info["redis_version"].to_s
        if Gem::Version.new(version[/\A\d+(\.\d+)*/] || "9") < Gem::Version.new("6.2")
          raise Refused, "ebb keeps jobs in Redis 6.2 or newer, and this is #{version}: upgrade the server"
        end

        layout, reader = call("HMGET", "ebb:meta", "layout", "min_reader")
        if reader.to_i > VERSION
          raise Refused, "this server is in use by an ebb that asks for version #{reader} of its layout, and this is #{VERSION}: upgrade ebb-sidekiq"
        elsif layout && layout != LAYOUT
          raise Refused, "ebb keeps the jobs of this server in the layout #{layout.inspect}, which Ruby does not know: name another server or database"
        end
        mark unless layout
      end

      private

      def follow(conn, channel, up)
        conn.call("SUBSCRIBE", channel)
        loop do
          kind, = conn.next_event # nil when nothing has come for a while
          up.call if kind == "subscribe"
          yield if kind == "message"
        end
      end

      def mark
        call("HSET", "ebb:meta", "layout", LAYOUT, "version", VERSION, "min_reader", VERSION)
      rescue StandardError => e
        raise if Server.passing?(e)
      end

      def refuse_namespace
        return unless @config.redis { |conn| conn.respond_to?(:namespace) }

        raise Refused, "ebb does not see jobs behind redis-namespace: give them a numbered database of their own"
      end
    end
  end
end
