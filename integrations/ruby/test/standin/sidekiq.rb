# frozen_string_literal: true

# Stands in for Sidekiq 7 or 8 and for redis-client, as far as the gem touches them,
# where neither can be installed. What they look like was read in their sources; this
# is no proof that the gem runs on the real ones.

require "connection_pool"
require "forwardable"
require "json"
require "logger"
require "redis"
require "securerandom"
require "socket"

class RedisClient
  Error = Class.new(StandardError)
  ConnectionError = Class.new(Error)
  CommandError = Class.new(Error)

  # Config makes clients.
  Config = Struct.new(:url) do
    def new_client
      RedisClient.new(self)
    end
  end

  attr_reader :config

  def initialize(config)
    @config = config
    @redis = Redis.new(url: config.url, reconnect_attempts: 1)
  end

  def read_timeout
    3
  end

  def call(*command)
    answer(command) { @redis.call(*command) }
  end

  def blocking_call(timeout, *command)
    answer(command) { @redis.synchronize { |client| client.call_with_timeout(command, timeout) } }
  end

  def pubsub
    PubSub.new(URI(@config.url))
  end

  def close
    @redis.close
  end

  private

  # What is no string or number is refused, and protocol 3 has maps and doubles.
  def answer(command)
    command.each { |word| raise TypeError, word.inspect unless [String, Integer, Float].any? { |kind| word.is_a?(kind) } }
    reply = yield
    case command[0]
    when "HGETALL" then Hash[*reply]
    when "ZSCORE" then reply && Float(reply)
    else reply
    end
  rescue Redis::CommandError => e
    raise CommandError, e.message
  rescue Redis::BaseConnectionError => e
    raise ConnectionError, e.message
  end

  # PubSub is a connection that only listens.
  class PubSub
    def initialize(uri)
      @socket = TCPSocket.new(uri.host, uri.port)
    end

    def call(*command)
      @socket.write("#{command.join(" ")}\r\n")
      nil
    end

    def next_event(timeout = 3)
      return unless @socket.wait_readable(timeout)

      read or raise ConnectionError, "closed"
    end

    def close
      @socket.close
    end

    private

    def read
      line = @socket.gets("\r\n", chomp: true) or return
      case line[0]
      when "*" then Array.new(line[1..].to_i) { read }
      when "$" then @socket.read(line[1..].to_i + 2).delete_suffix("\r\n")
      else line[1..]
      end
    end
  end
end

module Sidekiq
  VERSION = ENV.fetch("SIDEKIQ_VERSION")

  # Component names processes.
  module Component
    def process_nonce
      @@process_nonce ||= SecureRandom.hex(6)
    end

    def identity
      @@identity ||= "#{Socket.gethostname}:#{::Process.pid}:#{process_nonce}"
    end
  end

  # Capsule is queues and threads, and delegates the rest.
  class Capsule
    extend Forwardable
    attr_reader :name, :config, :queues, :mode
    attr_accessor :concurrency

    def_delegators :@config, :[], :redis, :logger

    def initialize(name, config)
      @name, @config, @queues, @mode, @concurrency = name, config, ["default"], :strict, 5
    end

    def queues=(list)
      weights = list.map { |text| text.split(",") }
      @queues = weights.flat_map { |queue, weight| [queue] * [weight.to_i, 1].max }
      @mode = weights.all? { |_, weight| weight.to_i.zero? } ? :strict : :weighted
    end

    def fetcher
      @fetcher ||= config[:fetch_class].new(self)
    end
  end

  # Config is one instance of Sidekiq.
  class Config
    extend Forwardable
    attr_reader :capsules
    attr_accessor :logger

    def_delegators :@options, :[], :[]=

    def initialize
      @options = { labels: [], lifecycle_events: Hash.new { |events, name| events[name] = [] } }
      @capsules = {}
      @logger = Logger.new(nil)
      client = RedisClient::Config.new(ENV.fetch("REDIS_URL"))
      @pool = ConnectionPool.new(size: 10) { client.new_client }
    end

    def capsule(name)
      (@capsules[name] ||= Capsule.new(name, self)).tap { |capsule| yield capsule if block_given? }
    end

    def redis(&block)
      @pool.with(&block)
    end

    def redis_info
      redis { |conn| conn.call("INFO") }.lines(chomp: true).map { |line| line.split(":", 2) }.select { |pair| pair.size == 2 }.to_h
    end

    def on(event, &block)
      self[:lifecycle_events][event] << block
    end
  end

  class << self
    def default_configuration
      @default_configuration ||= Config.new
    end

    def configure_server
      yield default_configuration
    end

    def load_json(text)
      JSON.parse(text)
    end

    def dump_json(value)
      JSON.generate(value)
    end
  end
end
