# frozen_string_literal: true

require "sidekiq"
require "sidekiq/cli" # a worker, so that loading the gem installs it
require "ebb/sidekiq"
require "cases"

# The real Sidekiq 6, with its one hash of options.
class OptionsTest < Minitest::Test
  include Cases

  def config
    Sidekiq
  end

  def host_of(queues)
    Sidekiq.options[:queues] = queues.flat_map { |text| [text[/\A[^,]*/]] * [text[/,(.*)/, 1].to_i, 1].max }
    Sidekiq.options[:strict] = queues.none? { |text| text.include?(",") }
    Ebb::Sidekiq::Host.new(Sidekiq)
  end

  def fetcher_of(_host, keeper)
    Ebb::Sidekiq::Fetch.new(Sidekiq.options, keeper)
  end

  def test_is_installed_by_being_loaded
    %i[startup quiet shutdown].each { |event| assert_equal 1, Sidekiq.options[:lifecycle_events][event].size, event }
    Ebb::Sidekiq.install(Sidekiq)
    assert_equal 1, Sidekiq.options[:lifecycle_events][:startup].size
  end
end
