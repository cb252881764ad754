# frozen_string_literal: true

require "sidekiq" # test/standin's
require "ebb/sidekiq"
require "cases"

# Stand-ins for 7 and 8, with a fetcher for each capsule.
class CapsulesTest < Minitest::Test
  include Cases

  def config
    @config ||= Sidekiq::Config.new
  end

  def host_of(queues)
    config.capsule("default") { |capsule| capsule.queues = queues }
    Ebb::Sidekiq::Host.new(config)
  end

  def fetcher_of(host, keeper)
    Ebb::Sidekiq.instance_variable_set(:@keeper, keeper)
    host.fetch_with(Ebb::Sidekiq::Fetch)
    config.capsule("default").instance_variable_set(:@fetcher, nil)
    config.capsule("default").fetcher
  end

  def test_each_capsule_has_its_queues
    config.capsule("single") { |capsule| capsule.queues, capsule.concurrency = ["s"], 1 }
    start "q"
    push "s"
    push "q"
    assert_equal %w[q s], [@fetcher, config.capsule("single").fetcher].map { |f| f.retrieve_work.queue_name }
    @keeper.beat
    shown = JSON.parse(@server.call("HGET", "ebb:presence", @id))
    assert_equal [6, %w[single default], "sidekiq #{Sidekiq::VERSION}"], [shown["concurrency"], shown["groups"].map { |g| g["name"] }, shown["version"]]
  end

  def test_is_installed_by_being_loaded
    events = Sidekiq.default_configuration[:lifecycle_events]
    assert_equal [1, 1, 1], events.values_at(:startup, :quiet, :shutdown).map(&:size)
  end
end
